import { describe, expect, it } from '@jest/globals';
import { asyncScheduler, NEVER, Subject, throwError, timer } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import type { SourceOptions, TelemetryEvent } from 'rxsluice';
import { queueSource, type EngineLag, type QueueAdapter } from 'rxsluice/broker';
import { collect, never, testLog, virtually, type TestLog, type TestLogOptions, type TestRecord } from './harness.js';

type LagEvent = Extract<TelemetryEvent, { type: 'lag' }>;

const lagsOf = ({ events }: Pick<TestLog, 'events'>): LagEvent[] =>
  events.filter((event): event is LagEvent => event.type === 'lag');

/** A log of one end for all its partitions, by which its adapter counts. */
function countingLog(end: { offset: number }, options: TestLogOptions = {}): TestLog {
  const log = testLog({ lagEveryMs: 1_000, ...options });
  log.onLag = ({ last }) => ({ lagMessages: end.offset - ((last?.offset ?? -1) + 1) });
  return log;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

describe('the lag', () => {
  it('is told on a timer, from the watermark to the end, with what is buffered and in flight', () =>
    virtually(({ advance }) => {
      const end = { offset: 100 };
      const log = countingLog(end, { maxInFlight: 2 });
      const { all } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, ...range(0, 6).map((offset) => ({ offset, size: 10 })));
      advance(999);
      expect(lagsOf(log)).toEqual([]);
      advance(1);
      const told = { type: 'lag', partition: { topic: 't', partition: 0 }, ageMs: 0, inFlight: 2 };
      expect(lagsOf(log)).toEqual([{ ...told, lagMessages: 100, bufferedMessages: 4, bufferedBytes: 60 }]);

      // Done above an older one: a restart would begin with that.
      all[1]?.ack();
      advance(1_000);
      expect(lagsOf(log)[1]).toMatchObject({ lagMessages: 100, bufferedMessages: 3, inFlight: 2 });
      all[0]?.ack();
      advance(1_000);
      expect(lagsOf(log)[2]).toMatchObject({ lagMessages: 98, bufferedMessages: 2, inFlight: 2 });
    }));

  it('is told of a partition that is paused, stuck, waits for a retry, or has nothing to read', () =>
    virtually(({ advance }) => {
      const end = { offset: 0 };
      const log = countingLog(end, { maxInFlight: 1, maxBufferedBytes: 4 });
      const { all } = collect(log.deliveries);
      const [busy, idle] = [log.partition(0), log.partition(1)];
      advance(1_000);
      log.push(busy, ...range(0, 9));
      expect(log.demands).toEqual(['0-', '1-']);
      end.offset = 100_000;
      advance(1_000);
      // Stuck.
      advance(1_000);
      all[0]?.nack(new Error('not now'), { delayMs: 5_000 });
      advance(2_000);
      const ofBusy = lagsOf(log).filter(({ partition }) => partition.partition === 0);
      expect(ofBusy.map(({ lagMessages, inFlight }) => [lagMessages, inFlight])).toEqual([
        [0, 0],
        [100_000, 1],
        [100_000, 1],
        [100_000, 1],
        [100_000, 1],
      ]);
      expect(lagsOf(log).filter(({ partition }) => partition.partition === idle.partition)).toHaveLength(5);
    }));

  it('is told of what is drained in a rebalance, and of a partition that has come back', () =>
    virtually(({ advance }) => {
      const log = countingLog({ offset: 10 });
      const { all } = collect(log.deliveries);
      const first = log.partition(0);
      log.push(first, 0, 1);
      all[0]?.ack();
      log.engine.revoke(first, () => undefined);
      advance(1_000);
      expect(lagsOf(log)).toMatchObject([{ lagMessages: 9, inFlight: 1 }]);
      all[1]?.ack();
      advance(100);
      advance(900);
      expect(lagsOf(log)).toHaveLength(1);
      log.partition(0);
      advance(1_000);
      expect(lagsOf(log)[1]).toMatchObject({ lagMessages: 10, inFlight: 0 });
    }));

  it('hands over the oldest record that is not settled, be it out or not emitted yet', () =>
    virtually(({ advance }) => {
      const log = testLog({ lagEveryMs: 1_000, maxInFlight: 1 });
      const oldest: (TestRecord | null)[] = [];
      log.onLag = (progress) => {
        oldest.push(progress.oldest);
        return null;
      };
      const { all, subscription } = collect(log.deliveries);
      const partition = log.partition(0, never);
      advance(1_000);
      log.push(partition, 5, 6);
      advance(1_000);
      subscription.unsubscribe();
      advance(1_000);

      const other = testLog({ lagEveryMs: 1_000, maxInFlight: 1 });
      other.onLag = log.onLag;
      const read = collect(other.deliveries);
      other.push(other.partition(0), 7, 8);
      advance(1_000);
      read.all[0]?.ack();
      advance(1_000);
      read.all[1]?.ack();
      advance(1_000);
      expect(all).toEqual([]);
      expect(oldest).toEqual([null, { offset: 5 }, { offset: 7 }, { offset: 8 }, null]);
    }));

  it('is told without a figure that is not known', () =>
    virtually(({ advance }) => {
      const log = testLog({ lagEveryMs: 1_000 });
      collect(log.deliveries);
      log.partition(0);
      advance(1_000);
      expect(lagsOf(log)).toEqual([
        { type: 'lag', partition: { topic: 't', partition: 0 }, bufferedMessages: 0, bufferedBytes: 0, inFlight: 0 },
      ]);
    }));

  describe('where the broker has to be asked', () => {
    it('is told once that has answered', () =>
      virtually(({ advance }) => {
        const end = { offset: 0 };
        const log = countingLog(end);
        log.onRefreshLag = () => {
          const answer = new Subject<never>();
          asyncScheduler.schedule(() => {
            end.offset = 7;
            answer.complete();
          }, 50);
          return answer;
        };
        collect(log.deliveries);
        log.partition(0);
        advance(1_049);
        expect(lagsOf(log)).toEqual([]);
        advance(1);
        expect(lagsOf(log)).toMatchObject([{ lagMessages: 7 }]);
      }));

    it('is told by what is known where that does not answer, or fails, and asked again each time', () =>
      virtually(({ advance }) => {
        const log = countingLog({ offset: 7 });
        let asked = 0;
        log.onRefreshLag = () => (++asked % 2 === 1 ? NEVER : throwError(() => new Error('out')));
        collect(log.deliveries);
        log.partition(0);
        advance(1_000);
        expect([asked, lagsOf(log).length]).toEqual([1, 0]);
        advance(1_000);
        // Of the first and of the second time.
        expect([asked, lagsOf(log).length]).toEqual([2, 2]);
        advance(4_000);
        expect([asked, lagsOf(log).length]).toEqual([6, 6]);
        expect(lagsOf(log)[5]).toMatchObject({ lagMessages: 7 });
      }));

    it('goes on where asking throws', () =>
      virtually(({ advance }) => {
        const log = countingLog({ offset: 7 });
        log.onRefreshLag = () => {
          throw new Error('no such call');
        };
        const { ends } = collect(log.deliveries);
        log.partition(0);
        advance(2_000);
        expect(lagsOf(log)).toHaveLength(2);
        expect(ends).toEqual([]);
      }));
  });

  it('that an adapter cannot say is a misuse, told once, and ends nothing', () =>
    virtually(({ advance }) => {
      const log = testLog({ lagEveryMs: 1_000 });
      log.onLag = () => {
        throw new TypeError('a secret');
      };
      const { ends } = collect(log.deliveries);
      log.partition(0);
      log.partition(1);
      advance(3_000);
      expect(log.events.filter(({ type }) => type === 'misuse')).toEqual([
        {
          type: 'misuse',
          code: 'lag-failed',
          message: 'the adapter of the source threw when it was asked for a lag, which is not told: TypeError',
        },
      ]);
      expect(lagsOf(log)).toHaveLength(6);
      expect(ends).toEqual([]);
    }));

  describe('its timer', () => {
    it('is not there without telemetry, nor with Infinity', () =>
      virtually(({ timers }) => {
        const silent = testLog({ silent: true });
        collect(silent.deliveries);
        expect(timers()).toBe(0);
        const never = testLog({ lagEveryMs: Infinity });
        collect(never.deliveries);
        expect(timers()).toBe(0);
      }));

    it.each(['stop', 'unsubscribe', 'fail'] as const)(
      'ends with the source, by %s: nothing is told after `closed`',
      (how) =>
        virtually(({ advance, timers }) => {
          const stop = new AbortController();
          const log = countingLog({ offset: 5 }, { stop: stop.signal });
          // Nothing of it may be left, a question under way included.
          let left = 0;
          log.onRefreshLag = () => {
            left++;
            return timer(60_000);
          };
          const { subscription } = collect(log.deliveries);
          log.partition(0);
          advance(1_500);
          expect(left).toBe(1);
          if (how === 'stop') stop.abort();
          else if (how === 'unsubscribe') subscription.unsubscribe();
          else log.engine.fail(new Error('gone'));
          advance(100);
          expect(log.events.at(-1)).toEqual({ type: 'closed' });
          expect(timers()).toBe(0);
          advance(10_000);
          expect(log.events.at(-1)).toEqual({ type: 'closed' });
        }),
    );

    it('tells nothing more once the source closes, however long that takes', () =>
      virtually(({ advance }) => {
        const log = countingLog({ offset: 5 });
        log.onClose = () => timer(5_000);
        const { subscription } = collect(log.deliveries);
        log.partition(0);
        subscription.unsubscribe();
        advance(4_000);
        expect(lagsOf(log)).toEqual([]);
        advance(2_000);
        expect(log.events.at(-1)).toEqual({ type: 'closed' });
      }));

    it('goes on through a drain', () =>
      virtually(({ advance }) => {
        const stop = new AbortController();
        const log = countingLog({ offset: 5 }, { stop: stop.signal });
        collect(log.deliveries);
        log.push(log.partition(0), 0, 1);
        stop.abort();
        advance(3_000);
        expect(lagsOf(log)).toMatchObject([{ inFlight: 2 }, { inFlight: 2 }, { inFlight: 2 }]);
      }));

    it('stands a telemetry that unsubscribes or throws', () =>
      virtually(({ advance, timers }) => {
        let told = 0;
        const log = testLog({
          lagEveryMs: 1_000,
          telemetry: ({ type }) => {
            if (type !== 'lag') return;
            told++;
            subscription.unsubscribe();
            throw new Error('not mine');
          },
        });
        const { subscription } = collect(log.deliveries);
        for (const partition of range(0, 3)) log.partition(partition);
        advance(5_000);
        expect(told).toBe(1);
        expect(timers()).toBe(0);
      }));

    it('keeps no flush of a TestScheduler from ending, and is awake again with the next message', () => {
      const log = countingLog({ offset: 5 });
      const scheduler = new TestScheduler(() => undefined);
      scheduler.run(({ flush }) => {
        const { all } = collect(log.deliveries);
        const partition = log.partition(0);
        log.push(partition, 0);
        flush();
        const { length } = lagsOf(log);
        // Long enough for an alarm to be tried.
        expect(length).toBeGreaterThanOrEqual(50);
        flush();
        expect(lagsOf(log)).toHaveLength(length);
        all[0]?.ack();
        log.push(partition, 1);
        flush();
        expect(lagsOf(log).length).toBeGreaterThan(length);
        expect(lagsOf(log).at(-1)).toMatchObject({ lagMessages: 4, inFlight: 1 });
      });
    });
  });

  it('of 10,000 partitions asks each once and is told 500 a turn of the loop', () =>
    virtually(({ advance }) => {
      const partitions = 10_000;
      const turns: number[] = [];
      let inTurn = 0;
      const log = testLog({
        lagEveryMs: 1_000,
        telemetry: ({ type }) => {
          if (type !== 'lag') return;
          // What is scheduled now runs before what is scheduled at the end of this turn.
          if (inTurn++ > 0) return;
          asyncScheduler.schedule(() => {
            turns.push(inTurn);
            inTurn = 0;
          });
        },
      });
      let asked = 0;
      log.onLag = () => {
        asked++;
        return { lagMessages: 0 };
      };
      collect(log.deliveries);
      for (const partition of range(0, partitions)) log.partition(partition);
      advance(1_500);
      expect(asked).toBe(partitions);
      expect(turns).toEqual(Array.from({ length: 20 }, () => 500));
      advance(1_000);
      expect(asked).toBe(2 * partitions);
    }));

  it.each([0, 99, -1, NaN, 2 ** 31, '1000'])('refuses lagEveryMs: %p', (lagEveryMs) => {
    expect(() => testLog({ lagEveryMs: lagEveryMs as number })).toThrow(
      'testLog: lagEveryMs must be a number, at least 100 and at most 2147483647, or Infinity for never, not',
    );
  });

  describe('of a queue', () => {
    const queueOf = (adapter: Partial<QueueAdapter<TestRecord>>, options: SourceOptions) => {
      const events: TelemetryEvent[] = [];
      const pushed = new Subject<readonly TestRecord[]>();
      const deliveries = queueSource<TestRecord, { broker: 'test' }>({
        name: 'testQueue',
        queue: { topic: 'q', partition: 0 },
        options: { telemetry: (event) => void events.push(event), lagEveryMs: 1_000, ...options },
        shape: {
          value: () => null,
          key: () => null,
          headers: () => ({}),
          timestamp: () => 0,
          position: () => ({ broker: 'test' }),
          positionText: ({ offset }) => String(offset),
          bytes: () => 3,
        },
        connect: ({ push }) => ({
          start: () => void pushed.subscribe(push),
          demand: () => undefined,
          ack: (records) => [records.map(() => null)],
          nack: () => undefined,
          close: () => [],
          ...adapter,
        }),
      });
      return { events, deliveries, push: (...offsets: number[]) => pushed.next(offsets.map((offset) => ({ offset }))) };
    };

    it('is what its adapter says, with what is buffered and in flight', () =>
      virtually(({ advance }) => {
        const known: EngineLag = { lagMessages: 10_000, more: true, lagMs: 4, ageMs: 3 };
        const { events, deliveries, push } = queueOf({ lag: () => known }, { maxInFlight: 1 });
        collect(deliveries);
        push(0, 1, 2);
        advance(1_000);
        expect(lagsOf({ events })).toEqual([
          {
            type: 'lag',
            partition: { topic: 'q', partition: 0 },
            ...known,
            bufferedMessages: 2,
            bufferedBytes: 9,
            inFlight: 1,
          },
        ]);
      }));

    it('is not told where its adapter knows none, but what is buffered is', () =>
      virtually(({ advance }) => {
        const { events, deliveries, push } = queueOf({}, {});
        collect(deliveries);
        push(0);
        advance(1_000);
        expect(lagsOf({ events })).toEqual([
          { type: 'lag', partition: { topic: 'q', partition: 0 }, bufferedMessages: 0, bufferedBytes: 0, inFlight: 1 },
        ]);
      }));
  });
});
