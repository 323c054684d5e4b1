import { describe, expect, it } from '@jest/globals';
import { Subject, throwError, timer } from 'rxjs';
import { unavailable, type TelemetryEvent } from 'rxsluice';
import { environment } from '../../lib/core/environment.js';
import { collect, never, testLog, virtually } from './harness.js';

const types = (events: readonly TelemetryEvent[]): string[] => events.map(({ type }) => type);
const only = <T extends TelemetryEvent['type']>(events: readonly TelemetryEvent[], type: T) =>
  events.filter((event): event is Extract<TelemetryEvent, { type: T }> => event.type === type);

describe('the watermark', () => {
  it('commits what is contiguous, and never past the lowest unsettled delivery (I1)', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), 10, 11, 17, 18);
      all[2]?.ack();
      all[3]?.ack();
      advance(50);
      expect(log.commits).toEqual([]);
      all[0]?.ack();
      advance(50);
      expect(log.commits).toEqual(['0:10']);
      all[1]?.ack();
      advance(50);
      expect(log.commits).toEqual(['0:10', '0:18']);
    }));

  it('is tried again where a commit fails, with what it is by then, and one commit is under way at a time', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1, 2);
      log.onCommit = () => throwError(() => new Error('no'));
      all[0]?.ack();
      advance(10);
      log.onCommit = () => timer(100);
      all[1]?.ack();
      advance(100);
      all[2]?.ack();
      advance(99);
      expect(log.commits).toEqual(['0:0', '0:1']);
      advance(20);
      expect(log.commits).toEqual(['0:0', '0:1', '0:2']);
      expect(only(log.events, 'ack-failed')).toHaveLength(1);
    }));

  it('stands at a nacked delivery until its retry is acked; delays and attempts are told', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all, ids } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1);
      all[1]?.ack();
      all[0]?.nack(new Error('x'));
      advance(99);
      expect(ids).toEqual(['0/0#1', '0/1#1']);
      advance(1);
      expect(ids).toEqual(['0/0#1', '0/1#1', '0/0#2']);
      all[2]?.nack('again', { delayMs: 7 });
      advance(7);
      expect([ids.at(-1), log.commits]).toEqual(['0/0#3', []]);
      all[3]?.ack();
      advance(20);
      expect(log.commits).toEqual(['0:1']);
    }));

  it('does not count an attempt where something is unavailable, and waits longer each time', () =>
    virtually(({ advance, now }) => {
      const log = testLog();
      const at: number[] = [];
      log.deliveries.subscribe((delivery) => {
        at.push(now());
        expect(delivery.attempt).toBe(1);
        delivery.nack(unavailable(new Error('down')));
      });
      log.push(log.partition(0), 0);
      advance(1_000);
      expect(at.map(Math.round)).toEqual([0, 100, 300, 700]);
    }));
});

describe('settlement', () => {
  it('is decided by the first one of an attempt; later ones are counted and change nothing', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1);
      const [first, second] = all;
      first?.nack('no', { delayMs: 5 });
      first?.ack();
      second?.withValue('x').ack();
      second?.nack();
      second?.withValue('y').ack();
      expect(only(log.events, 'stale-settlement')).toHaveLength(3);
      advance(5);
      first?.ack();
      advance(50);
      expect(log.commits).toEqual([]);
    }));

  it('re-enters the pump never: a million acks inside next end at depth one', () => {
    const log = testLog({ silent: true, maxBufferedBytes: 2 ** 30 });
    let acked = 0;
    let completed = false;
    log.deliveries.subscribe({
      next: (delivery) => {
        acked++;
        delivery.ack();
      },
      complete: () => (completed = true),
    });
    const partition = log.partition(0);
    for (let from = 0; from < 1_000_000; from += 10_000) {
      log.engine.push(
        partition,
        Array.from({ length: 10_000 }, (_, i) => ({ offset: from + i })),
      );
    }
    log.engine.end();
    expect(acked).toBe(1_000_000);
    return new Promise<void>((resolve) =>
      setTimeout(() => {
        expect(completed).toBe(true);
        resolve();
      }, 50),
    );
  });

  it('completes after the last value, never inside its ack', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const seen: string[] = [];
      log.deliveries.subscribe({
        next: (delivery) => {
          delivery.ack();
          seen.push(delivery.id);
        },
        complete: () => seen.push('complete'),
      });
      log.push(log.partition(0), 0, 1);
      log.engine.end();
      advance(1);
      expect(seen).toEqual(['t/0/0', 't/0/1', 'complete']);
    }));
});

describe('bounds', () => {
  it('lets out no more than maxInFlight, those that wait for a retry included (I3)', () =>
    virtually(({ advance }) => {
      const log = testLog({ maxInFlight: 2 });
      const { all, ids } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1, 2, 3);
      all[0]?.nack('x', { delayMs: 50 });
      advance(49);
      expect(ids).toEqual(['0/0#1', '0/1#1']);
      all[1]?.ack();
      expect(ids).toEqual(['0/0#1', '0/1#1', '0/2#1']);
    }));

  it('stops reading at maxBufferedBytes and reads on at half of it', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 1, maxBufferedBytes: 100 });
      const { all } = collect(log.deliveries);
      const [first, second] = [log.partition(0), log.partition(1)];
      log.push(first, { offset: 0, size: 60 });
      log.push(first, { offset: 1, size: 60 });
      log.push(second, { offset: 0, size: 60 });
      expect(log.demands).toEqual(['0-', '1-']);
      all[0]?.ack();
      expect(log.demands).toEqual(['0-', '1-']);
      all[1]?.ack();
      expect(log.demands).toEqual(['0-', '1-', '0+', '1+']);
    }));

  it('counts what is reserved toward maxBufferedBytes, and tells of room once there is as much as was refused', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 1, maxBufferedBytes: 100 });
      const { all, subscription } = collect(log.deliveries);
      const [first, second] = [log.partition(0), log.partition(1)];
      log.push(first, { offset: 0, size: 10 });
      log.push(first, { offset: 1, size: 60 });
      log.engine.reserve(second, 30);
      expect([log.engine.hasRoom(10), log.engine.hasRoom(11)]).toEqual([true, false]);
      log.engine.reserve(second, 20);
      expect([log.engine.hasRoom(20), log.engine.hasRoom(50)]).toEqual([true, false]);
      expect(log.rooms).toBe(0);
      // The second is emitted, and is buffered no more.
      all[0]?.ack();
      expect([log.rooms, log.engine.hasRoom(80)]).toEqual([1, true]);
      expect(log.engine.hasRoom(81)).toBe(false);
      log.engine.lose(second);
      expect(log.rooms).toBe(2);
      // It is closed: what is said of it counts no more.
      log.engine.reserve(second, 99);
      expect(log.engine.hasRoom(100)).toBe(true);
      subscription.unsubscribe();
    }));

  it('fails, typed, where the adapter throws as it is told of room', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 1, maxBufferedBytes: 10 });
      const { ends } = collect(log.deliveries);
      log.onRoom = () => {
        throw new Error('of the adapter');
      };
      const partition = log.partition(0);
      log.engine.reserve(partition, 10);
      log.engine.hasRoom(1);
      log.engine.lose(partition);
      expect(ends).toEqual(['error source-failed']);
    }));

  it('never runs further ahead of the oldest unsettled one than maxSpan (I9)', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 4, maxSpan: 6 });
      const { all, ids } = collect(log.deliveries);
      log.push(log.partition(0), ...Array.from({ length: 20 }, (_, i) => i));
      for (let i = 1; i < 20; i++) all[i]?.ack();
      expect(ids).toHaveLength(6);
      all[0]?.ack();
      expect(ids).toHaveLength(10);
    }));

  it('leaves room for other partitions where one is blocked: ¾ of the credits by the number of partitions', () =>
    virtually(({ advance }) => {
      const log = testLog({ maxInFlight: 16 });
      const counts = [0, 0];
      log.deliveries.subscribe((delivery) => {
        const hot = delivery.id.startsWith('t/0/');
        counts[hot ? 0 : 1] = (counts[hot ? 0 : 1] ?? 0) + 1;
        if (hot) delivery.nack('hot', { delayMs: 1_000 });
        else delivery.ack();
      });
      const [hot, cold] = [log.partition(0), log.partition(1)];
      log.push(hot, ...Array.from({ length: 100 }, (_, i) => i));
      log.push(cold, ...Array.from({ length: 100 }, (_, i) => i));
      advance(1);
      expect(counts).toEqual([6, 100]);
    }));
});

describe('a revoke (I4)', () => {
  it('lets what is out settle, commits, closes the epoch, then is done', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all, ids } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, 0, 1, 2);
      let done = 0;
      log.engine.revoke(partition, () => done++);
      log.push(partition, 3);
      all[0]?.ack();
      all[1]?.ack();
      expect([done, log.commits]).toEqual([0, []]);
      all[2]?.ack();
      expect([done, log.commits, ids.length]).toEqual([1, ['0:2'], 3]);
      advance(20_000);
      expect(only(log.events, 'revoked')).toEqual([
        { type: 'revoked', partition: { topic: 't', partition: 0 }, drained: true },
      ]);
    }));

  it('is cut off after drainTimeoutMs: what is done is committed, the rest is void and its signals are aborted (I5)', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 500 });
      const { all } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, 0, 1);
      const signal = all[1]?.signal as AbortSignal;
      let done = 0;
      log.engine.revoke(partition, () => done++);
      all[0]?.ack();
      advance(499);
      expect([done, signal.aborted]).toEqual([0, false]);
      advance(1);
      expect([done, signal.aborted, log.commits]).toEqual([1, true, ['0:0']]);
      all[1]?.ack();
      advance(100);
      expect(log.commits).toEqual(['0:0']);
      expect(only(log.events, 'stale-settlement')).toHaveLength(1);
    }));

  it('waits for a hanging last commit one second at most', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 500 });
      const { all } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, 0, 1);
      log.onCommit = never;
      all[0]?.ack();
      let done = 0;
      log.engine.revoke(partition, () => done++);
      advance(1_499);
      expect(done).toBe(0);
      advance(1);
      expect(done).toBe(1);
    }));

  it('drops parked retries with their timers: they come again to the new owner', () =>
    virtually(({ advance, timers }) => {
      const log = testLog();
      const { all, ids } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, 0);
      all[0]?.nack('x', { delayMs: 50 });
      let done = 0;
      log.engine.revoke(partition, () => done++);
      expect([done, ids]).toEqual([1, ['0/0#1']]);
      advance(60_000);
      expect([ids.length, timers()]).toEqual([1, 0]);
    }));

  it('twice at once is done twice, and after the close at once', () =>
    virtually(() => {
      const log = testLog();
      const { all } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, 0);
      const done: number[] = [];
      log.engine.revoke(partition, () => done.push(1));
      log.engine.revoke(partition, () => done.push(2));
      all[0]?.ack();
      log.engine.revoke(partition, () => done.push(3));
      expect(done).toEqual([1, 2, 3]);
    }));

  it('of a lost partition commits nothing, and its settlements are void', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, 0, 1);
      all[0]?.ack();
      log.engine.lose(partition);
      all[1]?.ack();
      advance(100);
      expect(log.commits).toEqual([]);
    }));
});

describe('the end of a source', () => {
  it('by stop: no intake, retries run on, positions are committed, the connection closes, then it completes', () =>
    virtually(({ advance, timers }) => {
      const stop = new Subject<void>();
      const log = testLog({ maxInFlight: 2, stop });
      const { all, ids, ends } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1, 2);
      stop.next();
      all[0]?.nack('x', { delayMs: 50 });
      all[1]?.ack();
      advance(50);
      expect([ids, ends]).toEqual([['0/0#1', '0/1#1', '0/0#2'], []]);
      all[2]?.ack();
      advance(1);
      expect([log.commits, log.closes, ends]).toEqual([['0:1'], 1, ['complete']]);
      expect([types(log.events).at(-1), timers()]).toEqual(['closed', 0]);
    }));

  it('by stop is cut off after drainTimeoutMs', () =>
    virtually(({ advance, timers }) => {
      const stop = new AbortController();
      const log = testLog({ drainTimeoutMs: 500, stop: stop.signal });
      const { ends } = collect(log.deliveries);
      log.push(log.partition(0), 0);
      stop.abort();
      advance(499);
      expect(ends).toEqual([]);
      advance(1);
      expect([ends, log.closes, timers()]).toEqual([['complete'], 1, 0]);
      expect(log.events.slice(-2)).toEqual([
        { type: 'cut-off', partition: { topic: 't', partition: 0 }, unsettled: 1, afterMs: 500 },
        { type: 'closed' },
      ]);
    }));

  it('by an unsubscribe tells what was still out in the hands of others', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 500 });
      const { all, subscription } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1);
      all[0]?.ack();
      subscription.unsubscribe();
      advance(500);
      expect(log.events.filter(({ type }) => type === 'cut-off')).toMatchObject([{ unsettled: 1, afterMs: 500 }]);
    }));

  it('by a stop that came before the subscription completes at once', () =>
    virtually(({ advance }) => {
      const { ends } = collect(testLog({ stop: AbortSignal.abort() }).deliveries);
      advance(1);
      expect(ends).toEqual(['complete']);
    }));

  it('by unsubscribe keeps the epoch open for what foreign hands hold, commits it, then closes (I8)', () =>
    virtually(({ advance, timers }) => {
      const log = testLog();
      const { all, subscription } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1);
      subscription.unsubscribe();
      expect(log.closes).toBe(0);
      all[0]?.ack();
      all[1]?.nack('x');
      expect([log.commits, log.closes, timers()]).toEqual([['0:0'], 1, 0]);
      advance(60_000);
      expect(log.closes).toBe(1);
    }));

  it('is bounded where the last commit and the close hang', () =>
    virtually(({ advance, timers }) => {
      const log = testLog({ drainTimeoutMs: 500 });
      const { all, subscription } = collect(log.deliveries);
      log.onCommit = never;
      log.onClose = never;
      log.push(log.partition(0), 0);
      all[0]?.ack();
      subscription.unsubscribe();
      advance(999);
      expect(types(log.events)).not.toContain('closed');
      advance(1);
      expect([types(log.events).at(-1), timers()]).toEqual(['closed', 0]);
    }));

  it('by an adapter that throws is a typed error with its cause (I7)', () =>
    virtually(() => {
      const log = testLog();
      const { ends } = collect(log.deliveries);
      log.engine.fail(new Error('bad credentials'));
      expect(ends).toEqual(['error source-failed']);
    }));
});

describe('positions', () => {
  it('closes at once what is assigned while it closes: nothing is prepared, read or left (I8)', () =>
    virtually(({ advance, timers }) => {
      const log = testLog();
      log.onClose = () => timer(50);
      const { subscription } = collect(log.deliveries);
      subscription.unsubscribe();
      let prepared = 0;
      const late = log.partition(0, () => {
        prepared++;
        return throwError(() => new Error('the connection is closing'));
      });
      log.push(late, 0);
      expect(late.live).toBe(false);
      advance(1_000);
      expect({ prepared, timers: timers() }).toEqual({ prepared: 0, timers: 0 });
      expect(log.events).toEqual([{ type: 'closed' }]);
    }));

  it('are durable before the first emission, however long that takes (I10)', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { ids } = collect(log.deliveries);
      let tries = 0;
      const prepare = () => (++tries < 3 ? throwError(() => new Error('down')) : timer(30));
      log.push(log.partition(0, prepare), 0);
      advance(329);
      expect([tries, ids]).toEqual([3, []]);
      advance(1);
      expect(ids).toEqual(['0/0#1']);
    }));

  it('that are lost end the source with a typed error, or are told where the user chose to go on', () =>
    virtually(() => {
      const log = testLog();
      const { ends } = collect(log.deliveries);
      const partition = log.partition(0);
      log.engine.positionLost(partition, { expected: '5', found: '9', action: 'latest' });
      expect(ends).toEqual([]);
      log.engine.positionLost(partition, { expected: '5', found: '9', action: 'error' });
      expect([ends, only(log.events, 'position-lost')]).toMatchObject([
        ['error position-lost'],
        [{ action: 'latest' }, { action: 'error' }],
      ]);
    }));
});

describe('the watchdog (I2)', () => {
  it('reports the oldest unsettled delivery once, and goes to sleep', () =>
    virtually(({ advance, timers }) => {
      const log = testLog({ unsettledWarnMs: 1_000 });
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1);
      advance(1_250);
      expect(only(log.events, 'unsettled-too-long')).toEqual([
        { type: 'unsettled-too-long', message: { topic: 't', partition: 0, id: 't/0/0', attempt: 1 }, forMs: 1_000 },
      ]);
      advance(60_000);
      expect([only(log.events, 'unsettled-too-long').length, timers()]).toEqual([1, 0]);
      all[0]?.ack();
      log.push(log.engine.assign({ topic: 't', partition: 1 }), 0);
      advance(1_500);
      expect(only(log.events, 'unsettled-too-long')).toHaveLength(3);
    }));

  it('warns the process, without telemetry, once and without content', () =>
    virtually(({ advance }) => {
      const warnings: string[] = [];
      const { warn } = environment;
      environment.warn = (message) => void warnings.push(message);
      try {
        const log = testLog({ silent: true, unsettledWarnMs: 1_000 });
        collect(log.deliveries);
        log.push(log.partition(0), 0);
        log.push(log.partition(1), 0);
        advance(5_000);
      } finally {
        environment.warn = warn;
      }
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain('message t/0/0 has been unsettled for 1000 ms');
    }));
});

describe('telemetry', () => {
  it('that throws changes nothing and is told once', () =>
    virtually(({ advance }) => {
      const warnings: string[] = [];
      const { warn } = environment;
      environment.warn = (message) => void warnings.push(message);
      try {
        const telemetry = (): void => {
          throw new Error('secret');
        };
        const log = testLog({ telemetry });
        const { all } = collect(log.deliveries);
        log.push(log.partition(0), 0);
        all[0]?.ack();
        advance(50);
        expect(log.commits).toEqual(['0:0']);
      } finally {
        environment.warn = warn;
      }
      expect(warnings).toEqual(['rxsluice: the telemetry function threw Error; what it throws is ignored.']);
    }));
});
