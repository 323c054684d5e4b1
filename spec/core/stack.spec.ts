import { describe, expect, it } from '@jest/globals';
import * as rx from 'rxjs';
import { ackEach, publish, settling, type Delivery, type TelemetryEvent } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { inTurn } from '../../lib/core/in-turn.js';
import { operate } from '../../lib/core/operate.js';
import { createSession, type Session } from '../../lib/core/session.js';
import { isStackLow, isStackOverflow } from '../../lib/core/stack.js';
import { testLog, virtually } from './harness.js';

const MESSAGES = 20_000;
const OVERFLOW = new RangeError('Maximum call stack size exceeded');

/** As deep as the stack goes, then `act`: again and again further out, until it does not throw. */
function atTheBottom(act: () => void): void {
  try {
    atTheBottom(act);
  } catch {
    act();
  }
}

function realOverflow(): unknown {
  try {
    return realOverflow();
  } catch (error) {
    return error;
  }
}

const misuses = (events: readonly TelemetryEvent[]): unknown[] =>
  events.flatMap((event) => (event.type === 'misuse' ? [event.code] : []));

describe('a call stack that is used up', () => {
  it('is told from other errors, and before it happens', () => {
    expect(isStackOverflow(realOverflow())).toBe(true);
    expect(isStackOverflow(new RangeError('Invalid array length'))).toBe(false);
    expect(isStackLow()).toBe(false);
    let low = false;
    atTheBottom(() => (low = isStackLow()));
    expect(low).toBe(true);
  });

  it('is a typed error, which comes down on a stack of its own', () =>
    virtually(({ advance }) => {
      const log = testLog();
      let error: unknown = null;
      log.deliveries
        .pipe(
          rx.map((): Delivery<unknown> => {
            throw OVERFLOW;
          }),
          ackEach(),
        )
        .subscribe({ error: (thrown: unknown) => (error = thrown) });
      log.push(log.partition(0), 1);
      expect(error).toBeNull();
      advance(1);
      expect(error).toMatchObject({ code: 'stack-overflow', cause: OVERFLOW });
    }));

  it('ends the stream with a typed error where it comes out of the pump', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 50 });
      let error: unknown = null;
      const throws = operate<rx.MonoTypeOperatorFunction<Delivery<unknown>>>(() => ({
        next: () => {
          throw OVERFLOW;
        },
      }));
      log.deliveries.pipe(throws).subscribe({ error: (thrown: unknown) => (error = thrown) });
      log.push(log.partition(0), 1, 2);
      advance(1);
      expect(error).toMatchObject({ code: 'stack-overflow', cause: OVERFLOW });
      advance(100);
      expect(log.events.at(-1)?.type).toBe('closed');
    }));

  it('is told by telemetry where an unsubscribe on nothing of a stack is all that is left of it', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 50, unsettledWarnMs: 400 });
      const subscription = log.deliveries.subscribe();
      log.push(log.partition(0), 1);
      atTheBottom(() => subscription.unsubscribe());
      advance(1_000);
      expect(misuses(log.events)).toEqual(['stack-overflow']);
      expect(log.events.at(-1)?.type).toBe('closed');
    }));

  // RxJS calls itself for each inner Observable that ends at once, and that cannot be mended from here.
  it.each([
    ['mergeMap', rx.mergeMap],
    ['concatMap', (work: (d: Delivery<unknown>) => rx.Observable<Delivery<unknown>>) => rx.concatMap(work)],
  ] as const)(
    'stops no %s without a word, whose inner Observables are foreign and end at once',
    async (_, operator) => {
      const broker = memoryBroker({ topics: { t: {} } });
      const messages = Array.from({ length: MESSAGES }, (__, i) => ({ value: String(i) }));
      await rx.lastValueFrom(publish(memoryPublisher(broker, { topic: 't' }), messages));
      const told = new rx.ReplaySubject<string>();
      const closed = new rx.ReplaySubject<string>();
      const telemetry = (event: TelemetryEvent): void => {
        if (event.type === 'misuse') told.next(event.code);
        if (event.type === 'unsettled-too-long') told.next(event.type);
        if (event.type === 'closed') closed.next(event.type);
      };
      const options = {
        groupId: 'g',
        topics: ['t'],
        maxInFlight: MESSAGES,
        unsettledWarnMs: 2_000,
        drainTimeoutMs: 50,
      };
      let first = true;
      const work = (delivery: Delivery<unknown>): rx.Observable<Delivery<unknown>> => {
        const slow = first;
        first = false;
        return slow ? rx.timer(5).pipe(rx.map(() => delivery)) : rx.of(delivery);
      };
      const subscription = fromMemory(broker, { ...options, telemetry })
        .pipe(operator(work, 1), ackEach())
        .subscribe({ error: ({ code }: { code: string }) => told.next(code) });
      const what = await rx.firstValueFrom(told);
      subscription.unsubscribe();
      expect(['stack-overflow', 'unsettled-too-long']).toContain(what);
      // The source ends all the same (I8).
      await rx.firstValueFrom(closed);
    },
    60_000,
  );
});

describe('the ends of inner Observables', () => {
  const session = (): Session => createSession({ options: {} } as never);

  it('run one after another, those that come inside of one after it', () => {
    const its = session();
    const seen: string[] = [];
    inTurn(its, () => {
      inTurn(its, () => seen.push('inner'));
      seen.push('outer');
    });
    expect(seen).toEqual(['outer', 'inner']);
  });

  it('go on after one that throws', () => {
    const its = session();
    const seen: string[] = [];
    expect(() =>
      inTurn(its, () => {
        inTurn(its, () => seen.push('next'));
        throw new Error('thrown');
      }),
    ).toThrow('thrown');
    expect(seen).toEqual(['next']);
    inTurn(its, () => seen.push('later'));
    expect(seen).toEqual(['next', 'later']);
  });

  it('let go of a delivery where the subscription ends while they wait', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 1_000 });
      const isFirst = (id: string): boolean => id.endsWith('/1');
      const subscription: rx.Subscription = log.deliveries
        .pipe(
          rx.concatMap((delivery) =>
            settling(delivery, () => {
              if (isFirst(delivery.id)) return rx.timer(5);
              subscription.unsubscribe();
              return 0;
            }),
          ),
          ackEach(),
        )
        .subscribe();
      log.push(log.partition(0), 1, 2);
      advance(6);
      expect(log.commits).toEqual(['0:1']);
      expect(log.events.at(-1)?.type).toBe('closed');
    }));

  it('let go of a delivery whose own work unsubscribes', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 1_000 });
      const subscription: rx.Subscription = log.deliveries
        .pipe(
          rx.mergeMap((delivery) => settling(delivery, () => subscription.unsubscribe())),
          ackEach(),
        )
        .subscribe();
      log.push(log.partition(0), 1);
      advance(1);
      expect(log.events.at(-1)?.type).toBe('closed');
    }));
});
