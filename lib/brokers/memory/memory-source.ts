import { defer, of, type Observable } from 'rxjs';
import type { Delivery } from '../../core/delivery.js';
import { isDate } from '../../core/is-date.js';
import { logSource, type AssignedPartition, type LogAdapter, type LogEngine } from '../../core/log-engine.js';
import { checkNames, checkOptions } from '../../core/options.js';
import { ownBytes, ownHeaders } from '../../core/own-message.js';
import type { PartitionRef } from '../../core/partition.js';
import type { Position } from '../../core/position.js';
import type { RecordShape } from '../../core/record-shape.js';
import { SOURCE_OPTION_NAMES } from '../../core/source-options.js';
import { lend, renew, type LentRecord } from './memory-bytes.js';
import { internalsOf, isMemoryBroker, unknownTopic, type MemoryBroker, type MemoryTopic } from './memory-client.js';
import type { MemoryMember } from './memory-group.js';
import { read, type MemoryLog } from './memory-log.js';
import type { MemorySourceOptions } from './memory-options.js';
import { headerBytes } from './memory-publisher.js';

/** Where a message stands in a memory broker. @public */
export interface MemoryPosition extends Position {
  /** The discriminant. */
  readonly broker: 'memory';
  /** The topic's name. */
  readonly topic: string;
  /** From 0. */
  readonly partition: number;
  /** From 0; the next message of the partition has the next one. */
  readonly offset: number;
}

/** A partition that this source reads. */
interface Reading {
  readonly log: MemoryLog;
  /** What its predecessors had done above the committed offset: it is not read again. */
  readonly acked: ReadonlySet<number>;
  readonly assigned: AssignedPartition;
  /** The offset to commit as long as nothing that was read from here on is settled. */
  start: number;
  next: number;
  /** Where `until: 'end'` stops. */
  readonly end: number;
  feeding: boolean;
  /** The position is lost, and the source ends for it. */
  lost: boolean;
}

const CHUNK_RECORDS = 256;

/**
 * Reads topics of a memory broker as one member of a consumer group.
 *
 * ```ts
 * fromMemory(broker, { groupId: 'billing', topics: ['orders'], maxInFlight: 512 })
 * ```
 *
 * Delivery: at least once; a message comes again until it is settled, also after an unsubscribe or a move to another
 * member; one that is settled does not, also where an older one is not. Positions are committed with the next turn of
 * the scheduler, and when the source ends. Order: as published, within a partition. Each group, retry and dead letter has bytes of
 * its own: what a handler changes, no other sees. Fails with `unknown-topic` or `position-lost`.
 * @public
 */
export function fromMemory(
  broker: MemoryBroker,
  options: MemorySourceOptions,
): Observable<Delivery<Uint8Array | null, MemoryPosition>> {
  checkNames('fromMemory', options, ['groupId', 'topics', 'start', 'onPositionLost', ...SOURCE_OPTION_NAMES]);
  checkOptions(
    'fromMemory',
    { broker, ...options },
    {
      broker: { required: true, that: { be: 'a memoryBroker()', holds: isMemoryBroker } },
      groupId: { required: true, type: 'string' },
      topics: { required: true, that: { be: 'a list of topic names that is not empty', holds: isTopicList } },
      start: { that: { be: "'earliest', 'latest' or a Date", holds: isStart, isNamed: true } },
      onPositionLost: { oneOf: ['error', 'earliest', 'latest'] },
    },
  );
  return logSource<LentRecord, MemoryPosition>({
    name: 'fromMemory',
    group: options.groupId,
    options,
    shape: memoryShape,
    commitIntervalMs: 0,
    commitsAbove: true,
    connect: (engine) => connect(engine, broker, options),
  });
}

const memoryShape: RecordShape<LentRecord, MemoryPosition> = {
  value: (lent) => (lent.value === undefined ? (lent.value = ownBytes(lent.stored.value)) : lent.value),
  key: (lent) => (lent.key === undefined ? (lent.key = ownBytes(lent.stored.key)) : lent.key),
  headers: (lent) => (lent.headers ??= ownHeaders(lent.stored.headers)),
  timestamp: ({ stored }) => stored.timestamp,
  positionText: ({ stored }) => String(stored.offset),
  position: ({ stored }, { topic, partition }) => ({
    broker: 'memory',
    topic,
    partition: partition as number,
    offset: stored.offset,
  }),
  bytes: ({ stored: { key, value, headers } }) => (key?.length ?? 0) + (value?.length ?? 0) + headerBytes(headers),
  // A message that waits for a retry, or becomes a dead letter, is as it was published, whatever a handler did to its bytes.
  detach: renew,
};

function connect(
  engine: LogEngine<LentRecord>,
  broker: MemoryBroker,
  options: MemorySourceOptions,
): LogAdapter<LentRecord> {
  const { start = 'earliest', onPositionLost = 'error', until } = options;
  const internals = internalsOf(broker);
  const group = internals.group(options.groupId);
  const topics = new Map<string, MemoryTopic>();
  const ends = new Map<MemoryLog, number>();
  const readings = new Map<string, Reading>();
  // Those that are not at their end, `until: 'end'`.
  const unread = new Set<Reading>();
  // Where a partition went on whose position was lost: what is settled of before moves the position no more.
  const jumps = new WeakMap<AssignedPartition, number>();
  const unlisten: (() => void)[] = [];

  const member: MemoryMember = {
    topics: [...new Set(options.topics)],
    assign: (topic, partition) => {
      const log = (topics.get(topic) as MemoryTopic).logs[partition] as MemoryLog;
      const committed = group.committed(topic, partition);
      const next = committed ?? startOf(log, start);
      const prepare = () => defer(() => of(group.commit(member, topic, partition, next)));
      const assigned = engine.assign({ topic, partition }, committed === null ? prepare : undefined);
      const acked = new Set(group.acked(topic, partition));
      const end = ends.get(log) ?? Infinity;
      const reading: Reading = { log, acked, assigned, start: next, next, end, feeding: false, lost: false };
      readings.set(nameOf(assigned), reading);
      feed(reading);
    },
    revoke: (topic, partition, done) => {
      const name = nameOf({ topic, partition });
      const reading = readings.get(name);
      readings.delete(name);
      if (reading === undefined) {
        done();
        return;
      }
      unread.delete(reading);
      engine.revoke(reading.assigned, done);
    },
    rebalanced: () => endIfRead(),
  };

  const feed = (reading: Reading): void => {
    const { log, acked, assigned } = reading;
    if (reading.feeding) return;
    reading.feeding = true;
    while (assigned.live && !assigned.paused && isWithin(reading)) {
      const records = read(log, reading.next, Math.min(CHUNK_RECORDS, reading.end - reading.next));
      if (records.length === 0) break;
      reading.next += records.length;
      const left = acked.size === 0 ? records : records.filter(({ offset }) => !acked.has(offset));
      engine.push(assigned, lend(left));
    }
    reading.feeding = false;
    if (until !== 'end') return;
    if (assigned.live && reading.next < reading.end) unread.add(reading);
    else unread.delete(reading);
    endIfRead();
  };

  const isWithin = (reading: Reading): boolean => {
    const { log, assigned, next } = reading;
    if (reading.lost) return false;
    if (next >= log.first && next <= log.end) return next < reading.end;
    const found = next < log.first ? log.first : log.end;
    engine.positionLost(assigned, { expected: String(next), found: String(found), action: onPositionLost });
    if (onPositionLost === 'error') {
      reading.lost = true;
      return false;
    }
    reading.next = onPositionLost === 'earliest' ? log.first : log.end;
    // At once, since nothing may ever be settled there: the next start would lose it again, with all that is published until then.
    group.commit(member, assigned.topic, assigned.partition as number, reading.next);
    jumps.set(assigned, reading.next);
    reading.start = reading.next;
    return reading.next < reading.end;
  };

  const endIfRead = (): void => {
    if (until === 'end' && unread.size === 0 && group.isSettled(member)) engine.end();
  };

  const listen = (topic: MemoryTopic): void => {
    const reader = {
      wake: (partition: number): void => {
        const reading = readings.get(nameOf({ topic: topic.name, partition }));
        if (reading !== undefined) feed(reading);
      },
      gone: (): void => engine.fail(unknownTopic('fromMemory', topic.name)),
    };
    topic.readers.add(reader);
    unlisten.push(() => void topic.readers.delete(reader));
  };

  return {
    start: () => {
      for (const name of member.topics) {
        const topic = internals.topic(name);
        if (topic === undefined) throw unknownTopic('fromMemory', name);
        topics.set(name, topic);
        if (until === 'end') for (const log of topic.logs) ends.set(log, log.end);
      }
      for (const topic of topics.values()) listen(topic);
      group.join(member);
    },
    demand: (assigned, wanted) => {
      const reading = readings.get(nameOf(assigned));
      if (wanted && reading !== undefined) feed(reading);
    },
    commit: (commits) =>
      defer(() => {
        for (const { partition, last, above } of commits) {
          const { topic, partition: number } = partition;
          const acked = above().map(({ stored }) => stored.offset);
          const next = last === null ? null : Math.max(jumps.get(partition) ?? 0, last.stored.offset + 1);
          group.commit(member, topic, number as number, next, acked);
        }
        return of(undefined);
      }),
    lag: ({ partition, last }) => {
      const reading = readings.get(nameOf(partition));
      if (reading?.assigned !== partition) return null;
      return { lagMessages: reading.log.end - watermarkOf(reading, last) };
    },
    leaving: () => group.leaving(member),
    close: () =>
      defer(() => {
        for (const end of unlisten) end();
        group.leave(member);
        return of(undefined);
      }),
  };
}

/** Where the next owner would begin. */
function watermarkOf({ start, acked }: Reading, last: LentRecord | null): number {
  let watermark = Math.max(start, last === null ? 0 : last.stored.offset + 1);
  while (acked.has(watermark)) watermark++;
  return watermark;
}

function startOf(log: MemoryLog, start: 'earliest' | 'latest' | Date): number {
  if (start === 'earliest') return log.first;
  if (start === 'latest') return log.end;
  const found = read(log, log.first, log.end - log.first).find(({ timestamp }) => timestamp >= start.getTime());
  return found?.offset ?? log.end;
}

function isStart(value: unknown): boolean {
  return value === 'earliest' || value === 'latest' || (isDate(value) && !Number.isNaN(value.getTime()));
}

function nameOf({ topic, partition }: PartitionRef): string {
  return `${topic}/${partition}`;
}

function isTopicList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string' && name !== '');
}
