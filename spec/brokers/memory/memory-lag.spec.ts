import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { filter, interval, take } from 'rxjs';
import { ackEach, constant, handle, publish, retryToDlq, type Delivery, type TelemetryEvent } from 'rxsluice';
import {
  fromMemory,
  memoryBroker,
  memoryPublisher,
  type MemoryBroker,
  type MemorySourceOptions,
} from 'rxsluice/memory';
import { collect, virtually } from '../../core/harness.js';
import { lagTruth } from '../../support/lag-truth.js';

const texts = (count: number): { readonly value: string }[] => Array.from({ length: count }, () => ({ value: 'm' }));

/** A broker of one topic, whose publisher tells the truth what it sends. */
function world(partitions = 1) {
  const broker: MemoryBroker = memoryBroker({ topics: { t: { partitions }, dead: {} } });
  const truth = lagTruth();
  const send = (count: number, partition = 0): void => {
    const confirmed = truth.sending(partition, count);
    publish(
      memoryPublisher(broker, { topic: 't' }),
      texts(count).map((message) => ({ ...message, partition })),
    ).subscribe({ complete: confirmed });
  };
  const read = (options: Partial<MemorySourceOptions> = {}) =>
    fromMemory(broker, { groupId: 'g', topics: ['t'], lagEveryMs: 1_000, telemetry: truth.telemetry, ...options });
  return { broker, truth, send, read };
}

describe('the lag of the memory broker', () => {
  it('is true at each moment: idle, under back-pressure, stuck, in retries, and at full speed', () =>
    virtually(({ advance }) => {
      const { broker, truth, send, read } = world();
      let mode: 'work' | 'hang' | 'fail' = 'hang';
      read({ maxInFlight: 8 })
        .pipe(
          retryToDlq({
            maxRetries: 1e6,
            backoff: constant(500),
            deadLetters: memoryPublisher(broker, { topic: 'dead' }),
          }),
          handle(
            () => {
              if (mode === 'fail') throw new Error('not now');
              return interval(50).pipe(
                filter(() => mode === 'work'),
                take(1),
              );
            },
            { concurrency: 4, timeoutMs: 700 },
          ),
          ackEach(),
        )
        .subscribe();
      advance(2_000);
      expect(truth.told.map(({ lag }) => lag)).toEqual([0, 0]);
      send(100_000);
      advance(2_000);
      expect(truth.told.at(-1)).toMatchObject({ lag: 100_000, inFlight: 8 });
      send(5_000);
      advance(2_000);
      expect(truth.told.at(-1)).toMatchObject({ lag: 105_000, inFlight: 8 });
      mode = 'fail';
      advance(3_000);
      mode = 'work';
      advance(60_000);
      expect(truth.told).toHaveLength(69);
      const wrong = truth.told.filter(({ lag, truth: is, ageMs }) => lag !== is || ageMs !== 0);
      expect(wrong).toEqual([]);
      expect(truth.told.at(-1)?.lag).toBeLessThan(105_000);
    }));

  it('goes on from the commit where a partition moves to another member, and skips what was done above it', () =>
    virtually(({ advance }) => {
      const { truth, send, read } = world(2);
      const first = collect(read());
      send(10, 0);
      send(10, 1);
      advance(100);
      const ack = (all: readonly Delivery<unknown>[], ...ids: string[]): void =>
        all.filter(({ id }) => ids.includes(id)).forEach((delivery) => delivery.ack());
      ack(first.all, 't/0/0', 't/0/1', 't/1/0', 't/1/1', 't/0/3', 't/1/3');
      advance(900);
      expect(truth.told.map(({ lag }) => lag)).toEqual([8, 8]);

      const moved: TelemetryEvent[] = [];
      const second = collect(read({ telemetry: (event) => void moved.push(event) }));
      first.subscription.unsubscribe();
      advance(20_000);
      const lagOf = (partition: number): unknown =>
        moved.filter((event) => event.type === 'lag' && event.partition.partition === partition).at(-1);
      expect([lagOf(0), lagOf(1)]).toMatchObject([{ lagMessages: 8 }, { lagMessages: 8 }]);
      // 3 was done by the first.
      ack(second.all, 't/0/2', 't/1/2');
      advance(1_000);
      expect([lagOf(0), lagOf(1)]).toMatchObject([{ lagMessages: 6 }, { lagMessages: 6 }]);
    }));

  it.each([
    ['earliest', 7],
    ['latest', 0],
  ] as const)('counts from where it goes on where retention has passed the position: %s', (onPositionLost, lag) =>
    virtually(({ advance }) => {
      const { broker, truth, send, read } = world();
      send(10);
      const first = collect(read());
      first.all[0]?.ack();
      advance(10);
      first.subscription.unsubscribe();
      advance(20_000);
      broker.deleteRecords('t', 0, 3);
      const { all } = collect(read({ onPositionLost }));
      advance(1_000);
      expect(truth.told.at(-1)?.lag).toBe(lag);
      send(1);
      advance(1_000);
      expect(truth.told.at(-1)?.lag).toBe(lag + 1);
      all.forEach((delivery) => delivery.ack());
      advance(1_000);
      expect(truth.told.at(-1)?.lag).toBe(0);
    }),
  );

  it('is told after each lagEveryMs, by a timer that stands no longer than the source', () =>
    virtually(({ advance, timers }) => {
      const { truth, send, read } = world();
      send(1);
      const { all, subscription } = collect(read({ lagEveryMs: 100 }));
      advance(1_000);
      expect(truth.told).toHaveLength(10);
      all[0]?.ack();
      subscription.unsubscribe();
      advance(20_000);
      expect(truth.told).toHaveLength(10);
      expect(timers()).toBe(0);
    }));
});

describe('a process with a source that waits for messages', () => {
  // It ends by itself once nothing is left to do, or the call is cut off.
  it.each([
    ['ends all the same, with a timer of the lag', ''],
    ['and after a lag was told', 'setTimeout(() => undefined, 500);'],
  ])('%s', async (_, also) => {
    const script = `
      import { fromMemory, memoryBroker } from './lib/memory.ts';
      let told = 0;
      const telemetry = ({ type }) => { if (type === 'lag') told++; };
      const broker = memoryBroker({ topics: { t: {} } });
      fromMemory(broker, { groupId: 'g', topics: ['t'], lagEveryMs: 100, telemetry }).subscribe();
      process.on('exit', () => console.log(told > 0 ? 'told' : 'ended'));
      ${also}`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { timeout: 120_000 },
    );
    expect(stdout.trim()).toBe(also === '' ? 'ended' : 'told');
  });
});
