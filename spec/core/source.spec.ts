import { describe, expect, it } from '@jest/globals';
import {
  BehaviorSubject,
  combineLatest,
  EMPTY,
  lastValueFrom,
  of,
  Subject,
  tap,
  throwError,
  timer,
  type ObservableInput,
} from 'rxjs';
import { fanOut, publish, type TelemetryEvent } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { refusal, untyped } from '../support/options.js';
import { collect, testLog, virtually } from './harness.js';

const BROKEN = new Error('broken');

function completedSubject(): Subject<unknown> {
  const subject = new Subject<unknown>();
  subject.complete();
  return subject;
}

async function* givesAtOnce(): AsyncGenerator<number> {
  yield 1;
}

describe('a source', () => {
  it('opens nothing for a subscriber that is closed already', () =>
    virtually(() => {
      const log = testLog();
      const errors: unknown[] = [];
      combineLatest([throwError(() => BROKEN), log.deliveries]).subscribe({ error: (error) => errors.push(error) });
      expect(errors).toEqual([BROKEN]);
      expect(() => log.engine.end()).toThrow();
    }));

  it('opens nothing below which a branch has ended at once', () =>
    virtually(() => {
      const log = testLog();
      const { ends } = collect(log.deliveries.pipe(fanOut(() => EMPTY)) as never);
      expect(ends).toEqual(['complete']);
      expect(() => log.engine.end()).toThrow();
    }));

  it('refuses a `stop` that could not be listened to, before any subscription', () => {
    for (const stop of [{}, { subscribe: () => undefined }, 'now', () => undefined, null]) {
      expect(refusal(() => testLog({ stop: untyped(stop) }))).toContain(
        'testLog: stop must be an AbortSignal, or an Observable, Promise or iterable, not ',
      );
    }
  });

  it.each<[string, () => AbortSignal | ObservableInput<unknown>]>([
    ['a signal that is aborted', () => AbortSignal.abort()],
    ['an Observable that emits at once', () => of(1)],
    ['one that completes at once', () => EMPTY],
    ['a BehaviorSubject', () => new BehaviorSubject(false)],
    ['a Subject that has completed', completedSubject],
    ['a list', () => [1]],
    ['a Promise that is resolved', () => Promise.resolve()],
    ['an async iterable that gives at once', givesAtOnce],
  ])('opens and reads nothing where `stop` has fired before: %s', async (_, makeStop) => {
    const broker = memoryBroker({ topics: { orders: {} } });
    publish(memoryPublisher(broker, { topic: 'orders' }), [{ value: 'a' }, { value: 'b' }]).subscribe();
    const events: TelemetryEvent[] = [];
    const ids: string[] = [];
    const reading = fromMemory(broker, {
      groupId: 'g',
      topics: ['orders'],
      until: 'end',
      stop: makeStop(),
      telemetry: (event) => events.push(event),
    }).pipe(tap(({ id }) => ids.push(id)));
    await lastValueFrom(reading, { defaultValue: null });
    expect(ids).toEqual([]);
    expect(events).toEqual([{ type: 'closed' }]);
    expect(broker.committed('g', 'orders')).toEqual([null]);
  });

  it('reads until a Promise is resolved that was not when it was subscribed', async () => {
    const broker = memoryBroker({ topics: { orders: {} } });
    publish(memoryPublisher(broker, { topic: 'orders' }), [{ value: 'a' }]).subscribe();
    let stop = (): void => undefined;
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    const reading = fromMemory(broker, { groupId: 'g', topics: ['orders'], stop: stopped }).pipe(
      tap((delivery) => delivery.ack()),
      tap(stop),
    );
    expect((await lastValueFrom(reading)).id).toBe('orders/0/0');
  });

  it('fails, and opens nothing, where a Promise for its stop is rejected already', async () => {
    const log = testLog({ stop: Promise.reject(BROKEN) });
    await expect(lastValueFrom(log.deliveries)).rejects.toMatchObject({ code: 'source-failed', cause: BROKEN });
    expect(() => log.engine.end()).toThrow();
  });

  it('begins nothing where it is unsubscribed before a Promise could say that it stops', async () => {
    const log = testLog({ stop: new Promise(() => undefined) });
    log.deliveries.subscribe().unsubscribe();
    await lastValueFrom(timer(5));
    expect(() => log.engine.end()).toThrow();
    expect(log.events).toEqual([{ type: 'closed' }]);
  });

  it.each(['stop', 'unsubscribe'])('is not asked to read on after %s, whose queue is empty then', (end) =>
    virtually(() => {
      const stop = new AbortController();
      const log = testLog({ maxBufferedBytes: 3, maxInFlight: 1, stop: stop.signal });
      const { subscription } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1, 2, 3);
      expect(log.demands).toEqual(['0-']);
      if (end === 'stop') stop.abort();
      else subscription.unsubscribe();
      expect(log.demands).toEqual(['0-']);
    }),
  );

  it('stops in good order also where retention has passed what it has not read', () =>
    virtually(({ advance }) => {
      const broker = memoryBroker({ topics: { orders: {} } });
      const messages = Array.from({ length: 1_000 }, () => ({ value: 'x' }));
      publish(memoryPublisher(broker, { topic: 'orders' }), messages).subscribe();
      const stop = new AbortController();
      const options = { groupId: 'g', topics: ['orders'], maxInFlight: 1, maxBufferedBytes: 10, stop: stop.signal };
      const { all, ends } = collect(fromMemory(broker, options));
      broker.deleteRecords('orders', 0, 900);
      stop.abort();
      all[0]?.ack();
      advance(1);
      expect(ends).toEqual(['complete']);
      expect(broker.committed('g', 'orders')).toEqual([1]);
    }));

  it('waits no shorter than a timer can, however long a nack asks for', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all, ids } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1);
      // Some 34 years, of which a timer would make a millisecond.
      all[0]?.nack('much later', { delayMs: 2 ** 40 });
      all[1]?.nack('much later', { delayMs: Infinity });
      advance(1_000);
      expect(ids).toHaveLength(2);
      const delays = log.events.flatMap((event) => (event.type === 'retried' ? [event.delayMs] : []));
      expect(delays).toEqual([2 ** 31 - 1, 2 ** 31 - 1]);
    }));
});
