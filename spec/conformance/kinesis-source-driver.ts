import { from, lastValueFrom } from 'rxjs';
import { decodeCheckpoint, isDone, isEnd } from '../../lib/brokers/kinesis/kinesis-checkpoint.js';
import { fromKinesis } from '../../lib/brokers/kinesis/from-kinesis.js';
import type { LeaseStore, Message, ShardLease } from '../../lib/index.js';
import { memoryLeaseStore } from '../../lib/memory.js';
import type { ConformanceTimings, SourceDriver } from '../../lib/testing.js';
import { openTimers } from '../support/open-timers.js';
import type { KinesisEntry, KinesisService } from './kinesis-services.js';

// The least that the source allows.
// A pause of the process, as of its collector, must not end one.
const LEASE_MS = 2_000;
const DAY_MS = 86_400_000;

export interface KinesisDriverOptions {
  readonly service: () => KinesisService;
  /** Makes the store of a case. Default: one in memory. */
  readonly leases?: () => LeaseStore;
  readonly timings?: ConformanceTimings;
  /** Default 50. */
  readonly pollMs?: number;
  /** Whether the service can let records go. Default false. */
  readonly trims?: boolean;
  /** Reads by enhanced fan-out, each consumer with one of its own. Default: by polling. */
  readonly fanOut?: boolean;
  /** Whether shards end once they are split or merged. Default true. */
  readonly reshard?: boolean;
  /** Whether the lease store opens nothing of its own. Default true. */
  readonly openHandles?: boolean;
}

/** `fromKinesis`, each with a client of its own; its groups are consumers in one lease store. */
export function kinesisSourceDriver(options: KinesisDriverOptions): SourceDriver {
  const { leases: makeLeases = memoryLeaseStore, pollMs = 50, trims = false, openHandles = true } = options;
  const { fanOut = false, reshard = true } = options;
  return {
    name: fanOut ? 'fromKinesis with fanOut' : 'fromKinesis',
    timings: { withinMs: 300_000, quietMs: 400, drainMs: 500, leaseMs: LEASE_MS, ...options.timings },
    features: {
      // A hash key names the shard.
      partitions: true,
      order: true,
      keys: true,
      keyOrder: true,
      binaryKeys: false,
      keylessMessages: false,
      emptyValues: true,
      tombstones: false,
      headers: false,
      binaryHeaders: false,
      repeatedHeaders: false,
      // The service has its own.
      timestamps: false,
      groups: true,
      startEarliest: true,
      // The end of a shard has no number: what is durable is a time, 10 seconds earlier.
      startLatest: false,
      startTimestamp: true,
      until: true,
      committedPositions: true,
      acksAbove: true,
      attempts: true,
      rebalance: true,
      cleanHandover: true,
      positionLost: trims,
      leases: true,
      reshard,
      brokerRestart: false,
      openHandles,
    },
    open: () => {
      const service = options.service();
      const leases = makeLeases();
      const streams = new Map<string, Stream>();
      let made = 0;
      const streamOf = (name: string): Stream => streams.get(name) as Stream;
      const rowsOf = async (consumer: string, stream: string): Promise<readonly ShardLease[]> =>
        lastValueFrom(from(leases.list({ consumer, stream })));
      const committed = async (consumer: string, stream: string): Promise<(number | null)[]> => {
        const rows = new Map((await rowsOf(consumer, stream)).map((row) => [row.shard, row]));
        return streamOf(stream).shards.map(({ id, stored }) => {
          const row = rows.get(id);
          return row === undefined ? null : doneOf(row.checkpoint, stored);
        });
      };

      return {
        createTopic: async ({ partitions }) => {
          const stream = await service.createStream(partitions);
          const shards = await service.openShards(stream);
          streams.set(stream, { shards: shards.map((shard) => ({ ...shard, stored: [] })) });
          return stream;
        },
        createGroup: () => `consumer-${made++}`,
        source: ({ topic, group, ...request }) =>
          fromKinesis(service.newClient(), {
            ...request,
            stream: topic,
            consumer: group,
            leases,
            leaseMs: LEASE_MS,
            checkpointIntervalMs: 50,
            readIntervalMs: Math.min(50, pollMs),
            pollMs,
            ...(fanOut ? { fanOut: true } : {}),
          }),
        publish: async (topic, messages) => {
          const { shards } = streamOf(topic);
          const places = await service.put(
            topic,
            messages.map((message) => entryOf(message, shards)),
          );
          for (const { shard, sequenceNumber } of places) {
            shards.find(({ id }) => id === shard)?.stored.push(sequenceNumber);
          }
        },
        committed,
        losePosition: async (group, topic) => {
          const [done] = await committed(group, topic);
          const [first] = streamOf(topic).shards;
          service.trim?.(topic, first?.id ?? '', (done ?? 0) + 1);
          // Retention passes nothing that is younger than it is long.
          const rows = await rowsOf(group, topic);
          const aged = rows.map((row) => ({ ...row, counter: row.counter + 1, doneUntil: row.doneUntil - DAY_MS }));
          await lastValueFrom(from(leases.write({ consumer: group, stream: topic }, aged)));
        },
        reshard: async (topic, change) => {
          const shards = (await service.openShards(topic)).map(({ id }) => id);
          for (let index = 0; index < shards.length; index += change === 'split' ? 1 : 2) {
            const [shard = '', adjacent = ''] = shards.slice(index, index + 2);
            await (change === 'split' ? service.split(topic, shard) : service.merge(topic, shard, adjacent));
          }
        },
        openHandles: () => [
          ...openTimers(),
          ...process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Connect/i.test(name)),
        ],
      };
    },
  };
}

/** The shards that a stream was made with, and the sequence numbers of what they were given. */
interface Stream {
  readonly shards: readonly { readonly id: string; readonly first: bigint; readonly stored: string[] }[];
}

function entryOf({ key, value, partition }: Message, shards: Stream['shards']): KinesisEntry {
  if (typeof key !== 'string' || value === null) throw new Error('Kinesis stores keys of text, and no tombstones.');
  const hashKey = partition === undefined ? undefined : shards[partition]?.first;
  return { key, data: value, hashKey };
}

function doneOf(text: string, stored: readonly string[]): number | null {
  if (isEnd(text)) return stored.length;
  const checkpoint = decodeCheckpoint(text);
  if (checkpoint === null || checkpoint.kind === 'time') return null;
  return stored.filter((sequenceNumber) => isDone(checkpoint, { sequenceNumber, subSequenceNumber: null })).length;
}
