import { describe, expect, it } from '@jest/globals';
import { NEVER } from 'rxjs';
import type { AssignedPartition } from '../../lib/core/log-engine.js';
import type { Partition } from '../../lib/core/partition.js';
import { countLooks } from '../support/looks.js';
import { collect, testLog, virtually, type TestLog, type TestLogOptions } from './harness.js';

const FEW = 50;
const MANY = 4 * FEW;

interface Scene {
  readonly log: TestLog;
  readonly partitions: readonly AssignedPartition[];
  readonly all: ReturnType<typeof collect<Uint8Array | null>>['all'];
  readonly advance: (ms: number) => void;
  readonly unsubscribe: () => void;
}

interface Act {
  readonly options?: (partitions: number) => TestLogOptions;
  /** What was before, not counted. */
  readonly before?: (scene: Scene) => void;
  readonly act: (scene: Scene) => void;
}

/** How often partitions are looked at, with so many of them. */
function looksOf(count: number, { options = () => ({}), before, act }: Act): number {
  let looks = 0;
  virtually(({ advance }) => {
    const log = testLog({ silent: true, ...options(count) });
    const { all, subscription } = collect(log.deliveries);
    const partitions = Array.from({ length: count }, (_, at) => log.partition(at));
    const counted = countLooks(partitions);
    const scene: Scene = { log, partitions, all, advance, unsubscribe: () => subscription.unsubscribe() };
    before?.(scene);
    counted();
    act(scene);
    looks = counted();
    subscription.unsubscribe();
    advance(20_000);
  });
  return looks;
}

const pushEach =
  (...offsets: number[]) =>
  ({ log, partitions }: Scene): void => {
    for (const partition of partitions) log.push(partition, ...offsets);
  };

describe('with four times as many partitions', () => {
  it.each<[string, Act]>([
    ['a push costs the same', { act: ({ log, partitions }) => log.push(partitions[7] as Partition, 0) }],
    ['an ack costs the same', { before: pushEach(0), act: ({ all }) => all[7]?.ack() }],
    ['a nack costs the same', { before: pushEach(0), act: ({ all }) => all[7]?.nack('x', { delayMs: 5 }) }],
    [
      'a retry costs the same',
      {
        before: (scene) => {
          pushEach(0)(scene);
          scene.all[7]?.nack('x', { delayMs: 5 });
        },
        act: ({ advance }) => advance(5),
      },
    ],
    [
      'an ack costs the same where all wait for its credit',
      { options: () => ({ maxInFlight: 10 }), before: pushEach(0, 1, 2), act: ({ all }) => all[7]?.ack() },
    ],
    [
      'an ack costs the same where all others have too much that is blocked',
      {
        options: (count) => ({ maxInFlight: count + 10 }),
        before: (scene) => {
          pushEach(0)(scene);
          for (const delivery of scene.all.slice(1)) delivery.nack('x', { delayMs: 1_000 });
          pushEach(1, 2)(scene);
        },
        act: ({ all }) => all[0]?.ack(),
      },
    ],
    [
      'an ack costs the same where all others wait for their watermark',
      {
        options: (count) => ({ maxInFlight: 4 * count, maxSpan: 4 * count }),
        before: (scene) => {
          const [first, ...others] = scene.partitions as [Partition, ...Partition[]];
          for (const { window } of others) while ((window?.span ?? 0) < 4 * scene.partitions.length) window?.open({});
          scene.log.push(first, 0, 1);
          for (const other of others) scene.log.push(other, 0);
        },
        act: ({ all }) => all[0]?.ack(),
      },
    ],
    [
      'an ack costs the same where all others have not begun',
      {
        before: ({ log, partitions }) => {
          for (let at = 0; at < partitions.length; at++) {
            const partition = log.partition(1_000 + at, () => NEVER);
            log.push(partition, 0);
          }
          pushEach(0)({ log, partitions } as Scene);
        },
        act: ({ all }) => all[7]?.ack(),
      },
    ],
    [
      'an ack costs the same where all others are being revoked',
      {
        before: (scene) => {
          pushEach(0)(scene);
          for (const partition of scene.partitions.slice(1)) scene.log.engine.revoke(partition, () => undefined);
        },
        act: ({ all }) => all[0]?.ack(),
      },
    ],
    [
      'an ack costs the same where all were asked to stop reading',
      {
        options: (count) => ({ maxInFlight: 1, maxBufferedBytes: count }),
        before: pushEach(0, 1, 2),
        act: ({ all }) => all[0]?.ack(),
      },
    ],
    [
      'a push costs the same where all were asked to stop reading',
      {
        options: (count) => ({ maxInFlight: 1, maxBufferedBytes: count }),
        before: pushEach(0, 1, 2),
        act: ({ log, partitions }) => log.push(partitions[7] as Partition, 3),
      },
    ],
    [
      'an ack costs the same where all others are full, and much is free',
      {
        options: () => ({ maxInFlight: 1 }),
        before: (scene) => {
          pushEach(0)(scene);
          for (const partition of scene.partitions.slice(1)) {
            for (let chunk = 0; chunk < 4; chunk++) scene.log.push(partition, { offset: 1, size: 2 ** 20 });
          }
        },
        act: ({ all }) => all[0]?.ack(),
      },
    ],
    [
      'an ack costs the same after all was read to its end',
      {
        before: (scene) => {
          pushEach(0)(scene);
          scene.log.engine.end();
        },
        act: ({ all }) => all[7]?.ack(),
      },
    ],
  ])('%s', (_, act) => {
    const few = looksOf(FEW, act);
    expect(few).toBeGreaterThan(0);
    expect(looksOf(MANY, act)).toBe(few);
  });

  it.each<[string, Act]>([
    ['a message in each costs four times as much', { act: pushEach(0) }],
    [
      'an ack in each costs four times as much, commits included',
      {
        before: pushEach(0),
        act: ({ all, advance }) => {
          for (const delivery of all) delivery.ack();
          advance(100);
        },
      },
    ],
    [
      'a retry in each costs four times as much',
      {
        before: pushEach(0),
        act: ({ all, advance }) => {
          for (const delivery of [...all]) delivery.nack('x', { delayMs: 5 });
          advance(5);
        },
      },
    ],
    [
      'a revoke of each costs four times as much, with a commit that all of them wait for',
      {
        before: (scene) => {
          scene.log.onCommit = () => NEVER;
          pushEach(0)(scene);
          for (const delivery of scene.all) delivery.ack();
        },
        act: ({ log, partitions, advance }) => {
          log.onCommit = () => [];
          for (const partition of partitions) log.engine.revoke(partition, () => undefined);
          advance(20_000);
        },
      },
    ],
    [
      'a loss of each costs four times as much',
      {
        before: pushEach(0, 1),
        act: ({ log, partitions }) => {
          for (const partition of partitions) log.engine.lose(partition);
        },
      },
    ],
    [
      'a close costs four times as much',
      {
        before: pushEach(0, 1),
        act: ({ unsubscribe, advance }) => {
          unsubscribe();
          advance(20_000);
        },
      },
    ],
    [
      'to stop all reading and to go on costs four times as much',
      {
        options: (count) => ({ maxInFlight: 1, maxBufferedBytes: 4 * count }),
        act: (scene) => {
          pushEach(0, 1, 2, 3, 4)(scene);
          for (let at = 0; at < 5 * scene.partitions.length; at++) scene.all[at]?.ack();
        },
      },
    ],
  ])('%s', (_, act) => {
    const few = looksOf(FEW, act);
    expect(few).toBeGreaterThan(0);
    // A round of looks that is one for all of them is no part of that: some in a hundred.
    expect(looksOf(MANY, act)).toBeLessThanOrEqual(4.2 * few);
  });
});

describe('the turns', () => {
  it('go round those that have something', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 1 });
      const { all, ids } = collect(log.deliveries);
      const partitions = Array.from({ length: 20 }, (_, at) => log.partition(at));
      for (const at of [3, 11, 17]) log.push(partitions[at] as Partition, 0, 1, 2);
      log.push(partitions[5] as Partition, 0);
      for (let at = 0; at < 10; at++) all[at]?.ack();
      expect(ids.map((id) => id.split('#')[0])).toEqual([
        '3/0',
        // It has waited for longest, since it came first.
        '3/1',
        '11/0',
        '17/0',
        '5/0',
        '3/2',
        '11/1',
        '17/1',
        '11/2',
        '17/2',
      ]);
    }));

  it('come again to one that gave a burst, though nothing is settled', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 1_000 });
      const { all } = collect(log.deliveries);
      const [first, second] = [log.partition(0), log.partition(1)];
      const many = Array.from({ length: 200 }, (_, at) => at);
      log.push(first, ...many);
      log.push(second, ...many);
      expect(all).toHaveLength(400);
    }));

  it('come to what is due to be tried again though no credit is free, and though others have much', () =>
    virtually(({ advance }) => {
      const log = testLog({ maxInFlight: 2 });
      const { all, ids } = collect(log.deliveries);
      const [first, second] = [log.partition(0), log.partition(1)];
      log.push(first, 0);
      log.push(second, 0, 1, 2);
      all[0]?.nack('x', { delayMs: 5 });
      advance(5);
      expect(ids).toEqual(['0/0#1', '1/0#1', '0/0#2']);
    }));

  it('come again to a partition that had too much blocked: once that goes on, and once others are gone', () =>
    virtually(({ advance }) => {
      const log = testLog({ maxInFlight: 8 });
      const { all, ids } = collect(log.deliveries);
      const [first, ...others] = Array.from({ length: 8 }, (_, at) => log.partition(at)) as [Partition, ...Partition[]];
      log.push(first, 0);
      all[0]?.nack('x', { delayMs: 1_000 });
      log.push(first, 1);
      expect(ids).toEqual(['0/0#1']);
      advance(1_000);
      expect(ids).toEqual(['0/0#1', '0/0#2', '0/1#1']);
      all[2]?.nack('x', { delayMs: 1_000 });
      log.push(first, 2);
      expect(ids).toHaveLength(3);
      // With 4 partitions ¾ of 8 are 6: one of them has 1.
      for (const other of others.slice(0, 4)) log.engine.lose(other);
      expect(ids).toHaveLength(3);
      log.engine.lose(others[4] as Partition);
      expect(ids).toEqual(['0/0#1', '0/0#2', '0/1#1', '0/2#1']);
    }));

  it('forget a partition that is lost while no credit is free', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 1 });
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), 0);
      const gone = Array.from({ length: 5 }, (_, at) => log.partition(1 + at)) as Partition[];
      for (const partition of gone) log.push(partition, 0);
      for (const partition of gone) log.engine.lose(partition);
      expect(gone.some(({ hasTurn, before, after }) => hasTurn || before !== null || after !== null)).toBe(false);
      expect(gone[0]?.session.givers.next()).toBeNull();
      all[0]?.ack();
      expect(all).toHaveLength(1);
    }));
});
