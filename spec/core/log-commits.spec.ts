import { describe, expect, it } from '@jest/globals';
import { Observable, throwError, timer } from 'rxjs';
import type { TelemetryEvent } from 'rxsluice';
import { environment } from '../../lib/core/environment.js';
import { collect, testLog, virtually } from './harness.js';

const offsets = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const types = (events: readonly TelemetryEvent[]): string[] => events.map(({ type }) => type);

/** Runs with the process warnings caught. */
function warned(test: () => void): readonly string[] {
  const warnings: string[] = [];
  const { warn } = environment;
  environment.warn = (message) => void warnings.push(message);
  try {
    test();
  } finally {
    environment.warn = warn;
  }
  return warnings;
}

describe('a commit by count', () => {
  it('comes as soon as so many are settled since the last one, in a turn of its own', () =>
    virtually(({ advance }) => {
      const log = testLog({ commitIntervalMs: 10_000, commitEvery: 3 });
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), ...offsets(9));
      all[0]?.ack();
      all[1]?.ack();
      advance(100);
      expect(log.commits).toEqual([]);
      all[2]?.ack();
      expect(log.commits).toEqual([]);
      advance(0);
      expect(log.commits).toEqual(['0:2']);
      for (const delivery of all.slice(3, 8)) delivery.ack();
      advance(0);
      expect(log.commits).toEqual(['0:2', '0:7']);
      all[8]?.ack();
      advance(9_999);
      expect(log.commits).toEqual(['0:2', '0:7']);
      advance(1);
      expect(log.commits).toEqual(['0:2', '0:7', '0:8']);
    }));

  it('counts by partition, and takes along what others have', () =>
    virtually(({ advance }) => {
      const log = testLog({ commitIntervalMs: 10_000, commitEvery: 2 });
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), ...offsets(2));
      log.push(log.partition(1), ...offsets(2));
      const of = (partition: number) => all.filter(({ id }) => id.startsWith(`t/${partition}/`));
      of(0)[0]?.ack();
      of(1)[0]?.ack();
      advance(10);
      expect(log.commits).toEqual([]);
      of(1)[1]?.ack();
      advance(0);
      expect([...log.commits].sort()).toEqual(['0:0', '1:1']);
    }));

  it('follows the one under way at once, and is one for all that has come meanwhile', () =>
    virtually(({ advance }) => {
      const log = testLog({ commitIntervalMs: 10_000, commitEvery: 2 });
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), ...offsets(20));
      log.onCommit = () => timer(50);
      for (const delivery of all.slice(0, 2)) delivery.ack();
      advance(10);
      for (const delivery of all.slice(2, 9)) delivery.ack();
      advance(39);
      expect(log.commits).toEqual(['0:1']);
      advance(1);
      expect(log.commits).toEqual(['0:1', '0:8']);
    }));

  it('waits for the backoff where commits fail, however much is settled', () =>
    virtually(({ advance }) => {
      const log = testLog({ commitIntervalMs: 10, commitEvery: 1 });
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), ...offsets(50));
      log.onCommit = () => throwError(() => new Error('no'));
      for (const delivery of all) {
        delivery.ack();
        advance(5);
      }
      // At 0, and 100 ms after that failed; the next is 200 ms after that.
      expect(log.commits).toEqual(['0:0', '0:19']);
      log.onCommit = () => [];
      advance(1_000);
      expect(log.commits.at(-1)).toBe('0:49');
    }));
});

describe('acks above the watermark', () => {
  it('are committed where the adapter can, also where the watermark has not moved', () =>
    virtually(({ advance }) => {
      const log = testLog({ commitsAbove: true });
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), 10, 11, 15, 16);
      all[1]?.ack();
      all[3]?.ack();
      advance(10);
      expect(log.commits).toEqual(['0:+11+16']);
      all[0]?.ack();
      advance(10);
      expect(log.commits).toEqual(['0:+11+16', '0:11+16']);
      all[2]?.ack();
      advance(10);
      expect(log.commits.at(-1)).toBe('0:16');
      advance(1_000);
      expect(log.commits).toHaveLength(3);
    }));

  it('are none of those that wait for a retry, or were let go', () =>
    virtually(({ advance }) => {
      const log = testLog({ commitsAbove: true });
      const { all, subscription } = collect(log.deliveries);
      log.push(log.partition(0), ...offsets(4));
      all[1]?.nack('again', { delayMs: 1_000 });
      all[2]?.ack();
      advance(10);
      expect(log.commits).toEqual(['0:+2']);
      subscription.unsubscribe();
      all[3]?.nack('no');
      all[0]?.ack();
      expect([log.commits, log.closes]).toEqual([['0:+2', '0:0+2'], 1]);
    }));

  it('are committed by a revoke that is cut off', () =>
    virtually(({ advance }) => {
      const log = testLog({ commitsAbove: true, commitIntervalMs: 10_000, drainTimeoutMs: 100 });
      const { all } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, ...offsets(3));
      all[2]?.ack();
      log.engine.revoke(partition, () => undefined);
      advance(100);
      expect(log.commits).toEqual(['0:+2']);
    }));

  it('cause no commit where the adapter cannot keep them', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), ...offsets(3));
      all[2]?.ack();
      advance(1_000);
      expect(log.commits).toEqual([]);
    }));
});

describe('a revoke with a drain time of its own', () => {
  it.each([0, 50])('is cut off after it: %d ms', (drainMs) =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 10_000, commitIntervalMs: 10_000 });
      const { all } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, 0, 1);
      all[0]?.ack();
      let done = 0;
      log.engine.revoke(partition, () => done++, drainMs);
      if (drainMs > 0) advance(drainMs - 1);
      expect([done, log.commits]).toEqual([0, []]);
      advance(1);
      expect([done, log.commits]).toEqual([1, ['0:0']]);
      all[1]?.ack();
      expect(types(log.events)).toContain('stale-settlement');
    }),
  );
});

describe('what an adapter tells', () => {
  it('of an outage and its end is told once each, by what is out', () =>
    virtually(() => {
      const log = testLog();
      collect(log.deliveries);
      const error = new Error('down');
      log.engine.recovered('broker');
      log.engine.unavailable('broker', error);
      log.engine.unavailable('broker', error);
      log.engine.unavailable('registry', error);
      log.engine.recovered('broker');
      log.engine.recovered('broker');
      log.engine.unavailable('broker', error);
      expect(log.events).toEqual([
        { type: 'unavailable', what: 'broker', error },
        { type: 'unavailable', what: 'registry', error },
        { type: 'recovered', what: 'broker' },
        { type: 'unavailable', what: 'broker', error },
      ]);
    }));

  it('of outages, their ends and misuse is a process warning without telemetry, without what the error says', () => {
    const warnings = warned(() =>
      virtually(() => {
        const log = testLog({ silent: true });
        collect(log.deliveries);
        for (let i = 0; i < 3; i++) {
          log.engine.unavailable('broker', new TypeError('secret'));
          log.engine.recovered('broker');
          log.engine.misuse('mixed-topics', 'Members read different topics.');
        }
        log.engine.misuse('other', 'Another one.');
      }),
    );
    expect(warnings).toEqual([
      expect.stringMatching(
        /^rxsluice: broker is out: TypeError at log-commits\.spec\.ts:\d+:\d+\. Deliveries that need it are held, and it is tried again\.$/,
      ),
      'rxsluice: broker is back.',
      'rxsluice: Members read different topics.',
      'rxsluice: Another one.',
    ]);
  });

  it('of a misuse goes to telemetry each time', () =>
    virtually(() => {
      const log = testLog();
      collect(log.deliveries);
      log.engine.misuse('mixed-topics', 'x');
      log.engine.misuse('mixed-topics', 'x');
      expect(types(log.events)).toEqual(['misuse', 'misuse']);
    }));
});

describe('the high water of one partition', () => {
  const MiB = 2 ** 20;

  it('is 4 MiB, whatever is free in maxBufferedBytes; it is read again from half of it on', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 1 });
      const { all } = collect(log.deliveries);
      const [full, other] = [log.partition(0), log.partition(1)];
      log.push(other, { offset: 0, size: MiB });
      for (let i = 0; i < 3; i++) log.push(full, { offset: i, size: MiB });
      expect(log.demands).toEqual([]);
      log.push(full, { offset: 3, size: MiB });
      expect(log.demands).toEqual(['0-']);
      // Emptied chunk by chunk, in turn with the other partition.
      while (log.demands.length === 1) all.at(-1)?.ack();
      expect([log.demands, all.at(-1)?.id]).toEqual([['0-', '0+'], 't/0/1']);
    }));

  it('is 32,768 records where they are small', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 1 });
      const { all } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, ...offsets(32_768));
      expect(log.demands).toEqual([]);
      log.push(partition, 32_768);
      expect(log.demands).toEqual(['0-']);
      for (let i = 0; i < 16_383; i++) all.at(-1)?.ack();
      expect(log.demands).toEqual(['0-']);
      all.at(-1)?.ack();
      expect(log.demands).toEqual(['0-', '0+']);
    }));
});

describe('a commit that ends at once', () => {
  it('does not hide the one after it from the close', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 20 });
      const { all, subscription } = collect(log.deliveries);
      const partition = log.partition(0);
      log.push(partition, 0, 1, 2);
      let ended = 0;
      log.onCommit = () => {
        if (log.commits.length > 1) return new Observable<never>(() => () => void ended++);
        all[1]?.ack();
        return [];
      };
      all[0]?.ack();
      // Waits for the last of it, so that the second begins inside the first.
      log.engine.revoke(partition, () => undefined);
      all[2]?.ack();
      subscription.unsubscribe();
      advance(100);
      expect([log.commits.length, log.closes, ended]).toEqual([2, 1, 1]);
    }));
});

describe('the end of the intake', () => {
  it('is told once, by stop and the unsubscribe after it', () =>
    virtually(() => {
      const stop = new AbortController();
      const log = testLog({ stop: stop.signal });
      const { subscription } = collect(log.deliveries);
      log.push(log.partition(0), 0);
      expect(log.leaves).toBe(0);
      stop.abort();
      expect([log.leaves, log.closes]).toEqual([1, 0]);
      subscription.unsubscribe();
      expect(log.leaves).toBe(1);
    }));
});

describe('a commit that the adapter asks for', () => {
  it('comes within the interval, without a settlement, and not for what is closed', () =>
    virtually(({ advance }) => {
      const log = testLog({ commitIntervalMs: 50 });
      const { all } = collect(log.deliveries);
      const [partition, lost] = [log.partition(0), log.partition(1)];
      log.push(partition, 0);
      all[0]?.ack();
      advance(50);
      log.engine.commitSoon(partition);
      log.engine.lose(lost);
      log.engine.commitSoon(lost);
      advance(49);
      expect(log.commits).toEqual(['0:0']);
      advance(1);
      expect(log.commits).toEqual(['0:0', '0:0']);
      advance(1_000);
      expect(log.commits.length).toBe(2);
    }));
});

describe('the end that an adapter tells', () => {
  it.each(['revoke', 'lose'] as const)('is taken back by a %s, until it is told anew', (how) =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 10, commitIntervalMs: 0 });
      const { all, ends } = collect(log.deliveries);
      const first = log.partition(0);
      log.push(first, 0, 1);
      log.engine.end();
      if (how === 'revoke') log.engine.revoke(first, () => undefined);
      else log.engine.lose(first);
      advance(2_000);
      expect(ends).toEqual([]);
      const second = log.partition(0);
      log.push(second, 0, 1);
      log.engine.end();
      for (const delivery of all.slice(2)) delivery.ack();
      advance(2_000);
      expect(ends).toEqual(['complete']);
    }),
  );
});
