import { describe, expect, it } from '@jest/globals';
import * as rx from 'rxjs';
import { ackEach, handle, publish } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { virtually } from '../core/harness.js';
import { usesOf, type D, type Use } from './operator-uses.js';
import { operatorRows as rows } from './operator-rows.js';

const MESSAGES = 40;
const CREDITS = 16;
const DRAIN_MS = 400;
const LONG_MS = 3_000;

const uses = usesOf({ work: () => rx.timer(3).pipe(rx.map(() => 1)), take: 10, credits: CREDITS });

/** What shows otherwise than by messages that stay unsettled: a spec of its own, below. */
const apart = ['pairwise', 'share', 'shareReplay', 'partition', 'startWith'];

function broker40() {
  const broker = memoryBroker({ topics: { t: {} } });
  const messages = Array.from({ length: MESSAGES }, (_, i) => ({ value: String(i), key: `k${i % 5}` }));
  publish(memoryPublisher(broker, { topic: 't' }), messages).subscribe();
  return broker;
}

/** Runs the operator above a consumer that acks whatever deliveries reach it; true where some stay unsettled for long. */
function leaks(use: Use): boolean {
  let stuck = false;
  virtually(({ advance, now }) => {
    const broker = broker40();
    let closedAt = Infinity;
    let endedAt = Infinity;
    fromMemory(broker, {
      groupId: 'g',
      topics: ['t'],
      until: 'end',
      maxInFlight: CREDITS,
      drainTimeoutMs: DRAIN_MS,
      telemetry: ({ type }) => void (type === 'closed' && (closedAt = Math.min(closedAt, now()))),
    })
      .pipe(
        use,
        rx.tap((values) => {
          for (const value of [values].flat()) (value as Partial<D> | null)?.ack?.();
        }),
        rx.finalize(() => (endedAt = now())),
      )
      .subscribe({ error: () => undefined });
    advance(LONG_MS);
    // Either it never ends, or it ended and what it dropped kept the source open for the whole drain.
    stuck = closedAt === Infinity || closedAt - endedAt >= DRAIN_MS;
  });
  return stuck;
}

describe('docs/operators-and-plain-rxjs.md', () => {
  it('has a row for each operator that is tried here, and the other way round', () => {
    expect(rows.map(({ operator }) => operator).sort()).toEqual([...Object.keys(uses), ...apart].sort());
    expect(rows.length).toBeGreaterThan(45);
  });

  it.each(rows.filter(({ operator }) => !apart.includes(operator)))(
    'is right that $operator $verdict',
    ({ operator, verdict }) => {
      expect(leaks(uses[operator] as Use)).toBe(verdict === 'leaks');
    },
  );

  it('is right that share gives both subscribers the same delivery: the first ack settles it', () =>
    virtually(({ advance }) => {
      const broker = broker40();
      let stale = 0;
      const shared = fromMemory(broker, {
        groupId: 'g',
        topics: ['t'],
        until: 'end',
        telemetry: ({ type }) => void (type === 'stale-settlement' && stale++),
      }).pipe(rx.share());
      rx.merge(shared.pipe(ackEach()), shared.pipe(ackEach())).subscribe();
      advance(LONG_MS);
      expect(stale).toBe(0); // synchronous: the first subscriber took everything before the second came
      const later = rx
        .defer(() =>
          fromMemory(broker, {
            groupId: 'h',
            topics: ['t'],
            telemetry: ({ type }) => void (type === 'stale-settlement' && stale++),
          }),
        )
        .pipe(rx.subscribeOn(rx.asyncScheduler), rx.share());
      rx.merge(later.pipe(ackEach()), later.pipe(ackEach())).subscribe();
      advance(LONG_MS);
      expect(stale).toBe(MESSAGES);
    }));

  it('is right that a stop while paused completes above handle, and waits for the notifier of delayWhen', () => {
    const stopWhilePaused = (pause: (open: rx.Observable<boolean>) => rx.MonoTypeOperatorFunction<D>) => {
      const seen: unknown[] = [];
      virtually(({ advance, now }) => {
        const open = new rx.BehaviorSubject(true);
        const stop = new rx.Subject<void>();
        const telemetry = ({ type }: { readonly type: string }): void =>
          void (['closed', 'cut-off'].includes(type) && seen.push([type, now()]));
        fromMemory(broker40(), {
          groupId: 'g',
          topics: ['t'],
          maxInFlight: CREDITS,
          drainTimeoutMs: DRAIN_MS,
          stop,
          telemetry,
        })
          .pipe(
            rx.tap(({ id }) => void (id.endsWith('/5') && open.next(false))),
            pause(open),
            ackEach(),
          )
          .subscribe({ complete: () => seen.push(['completed', now()]) });
        advance(100);
        stop.next();
        advance(LONG_MS);
        open.next(true);
        seen.push(['opened', now()]);
        advance(1);
      });
      return seen;
    };
    const cutOff = 100 + DRAIN_MS;
    const whenOpen = (open: rx.Observable<boolean>) => open.pipe(rx.first(Boolean));
    const byHandle = stopWhilePaused((open) => handle((value) => whenOpen(open).pipe(rx.map(() => value))));
    expect(byHandle).toEqual([
      ['cut-off', cutOff],
      ['closed', cutOff],
      ['completed', cutOff],
      ['opened', 100 + LONG_MS],
    ]);
    const byDelayWhen = stopWhilePaused((open) => rx.delayWhen(() => whenOpen(open)));
    expect(byDelayWhen).toEqual([
      ['cut-off', cutOff],
      ['closed', cutOff],
      ['completed', 100 + LONG_MS],
      ['opened', 100 + LONG_MS],
    ]);
  });

  it('is right that pairwise gives each delivery twice: it is settled with the first pair', () =>
    virtually(({ advance }) => {
      let stale = 0;
      const telemetry = ({ type }: { readonly type: string }): void => void (type === 'stale-settlement' && stale++);
      fromMemory(broker40(), { groupId: 'g', topics: ['t'], until: 'end', telemetry })
        .pipe(rx.pairwise())
        .subscribe((pair) => pair.forEach((delivery) => delivery.ack()));
      advance(LONG_MS);
      expect(stale).toBe(MESSAGES - 2);
    }));

  it('is right that shareReplay gives settled deliveries to late subscribers', () =>
    virtually(({ advance }) => {
      const replayed = fromMemory(broker40(), { groupId: 'g', topics: ['t'], until: 'end' }).pipe(rx.shareReplay(10));
      replayed.pipe(ackEach()).subscribe();
      advance(LONG_MS);
      let late = 0;
      replayed.subscribe(() => late++);
      expect(late).toBe(10);
    }));

  it('is right that partition subscribes the source twice', () => {
    let subscribed = 0;
    const [even, odd] = rx.partition(
      rx.defer(() => (subscribed++, rx.NEVER)),
      () => true,
    );
    rx.merge(even, odd).subscribe().unsubscribe();
    expect(subscribed).toBe(2);
  });

  it('is right that startWith puts something that is no delivery before ours', () =>
    virtually(() => {
      let code = '';
      const started = fromMemory(broker40(), { groupId: 'g', topics: ['t'] }).pipe(rx.startWith('x' as unknown as D));
      started.pipe(ackEach()).subscribe({ error: (error: { code: string }) => ({ code } = error) });
      expect(code).toBe('not-a-delivery');
    }));
});
