import type { EngineLag } from '../../core/engine-reports.js';
import { environment } from '../../core/environment.js';
import type { AssignedPartition, LogCommit, LogEngine, LogProgress } from '../../core/log-engine.js';
import { decodeAcked, encodeAcked } from './kafka-acked.js';
import type { KafkaAdminLike, KafkaBatchPayloadLike, KafkaRecord } from './kafka-client.js';
import { isFenced, isFinal, kafkaError, kafkaState, typeOf } from './kafka-errors.js';
import { fetchBounds, fetchStarts, nameOf, type LogBounds, type StartPosition } from './kafka-offsets.js';
import type { ResolvedKafkaOptions } from './kafka-options.js';
import { isOutside, lagBehind, type Reading } from './kafka-reading.js';
import type { Run, TopicPartition } from './kafka-run.js';

/**
 * What is read, from join to join. kafkajs' own idea of the position is not trusted: a fetch counts only where it asked
 * for the offset that we expect, so nothing is skipped when fetches cross a rebalance or kafkajs resets by itself (I10).
 * @internal
 */
export interface Readings {
  /** Begins the drain before a join, once; true when it is done. */
  drain(): boolean;
  assign(run: Run, partitions: readonly TopicPartition[]): void;
  take(payload: KafkaBatchPayloadLike): void;
  skip(skip: TopicPartition & { readonly firstOffset: string | null; readonly lastOffset: string }): void;
  commit(run: Run, commits: readonly LogCommit<KafkaRecord>[]): Promise<void>;
  /** Asks for the ends of all that is read. Never rejects. */
  askEnds(run: Run): Promise<void>;
  /** How far the watermark of a partition is behind its end; `null` while its start or its end is not known. */
  lag(progress: LogProgress<KafkaRecord>): EngineLag | null;
  resume(run: Run, assigned: AssignedPartition): void;
  /** Fetches nothing more, whatever is found or resumed from here on. */
  leave(): void;
  /** The generation is gone: nothing of it counts any more. */
  loseAll(): void;
}

/** @internal */
export function createReadings(
  engine: LogEngine<KafkaRecord>,
  ask: <T>(question: (admin: KafkaAdminLike) => Promise<T>) => Promise<T>,
  options: ResolvedKafkaOptions,
  counts: ReadonlyMap<string, number>,
  ends: ReadonlyMap<string, LogBounds> | null,
): Readings {
  const { onPositionLost, drainOnRebalance, readUncommitted } = options;
  const readings = new Map<string, Reading>();
  // Those that are not at their end, `until: 'end'`.
  const unread = new Set<Reading>();
  // How far a commit may go beyond a record: over control records and what the predecessor had done.
  const tails = new WeakMap<KafkaRecord, string>();
  // The broker takes no metadata.
  let bare = false;
  let undrained = 0;
  let draining = false;
  let leaving = false;

  // kafkajs tells the end of what is committed. Who reads more may stand beyond it, as a fetch will show.
  const isGone = (offset: string, { low, high }: LogBounds): boolean =>
    isOutside(offset, { low, high: readUncommitted && BigInt(offset) > BigInt(high) ? offset : high });

  const isCurrent = (reading: Reading): boolean => readings.get(nameOf(reading)) === reading && reading.assigned.live;

  const assign = (run: Run, partitions: readonly TopicPartition[]): void => {
    loseAll();
    const mine: Reading[] = [];
    let starts: Promise<Map<string, StartPosition>> | null = null;
    const lookUp = (): Promise<Map<string, StartPosition>> =>
      (starts ??= findStarts(run, partitions, mine).catch((error: unknown) => {
        starts = null;
        // Where trying again cannot help, the source says so.
        if (mine.some(isCurrent) && isFinal(error))
          engine.fail(kafkaError('fromKafka', error, { groupId: options.groupId }));
        throw error;
      }));
    for (const { topic, partition } of partitions) {
      run.pause({ topic, partition });
      const reading: Reading = {
        run,
        topic,
        partition,
        assigned: engine.assign({ topic, partition }, () =>
          lookUp()
            .then((all) => begin(reading, all))
            .catch((error: unknown) => {
              // It is told as it is, and tried again: a word of kafkajs alone says nothing to who reads it.
              throw kafkaError('fromKafka', error, { topic });
            }),
        ),
        next: null,
        committed: '0',
        start: '0',
        acked: new Set(),
        newest: null,
        since: null,
        end: null,
        sought: false,
        checking: false,
      };
      readings.set(nameOf(reading), reading);
      if (ends !== null) unread.add(reading);
      mine.push(reading);
    }
    endIfRead();
  };

  // One look-up and one commit for all partitions of a join; what it finds is of that join alone.
  const findStarts = async (
    run: Run,
    partitions: readonly TopicPartition[],
    joined: readonly Reading[],
  ): Promise<Map<string, StartPosition>> => {
    const topics = [...new Set(partitions.map(({ topic }) => topic))];
    const starts = await ask((admin) => fetchStarts(admin, options, topics, counts));
    const fresh = joined.filter(isCurrent).flatMap((reading) => {
      const { topic, partition } = reading;
      const start = starts.get(nameOf(reading));
      if (start === undefined || start.stored || isGone(start.offset, start)) return [];
      return [{ topic, partition, offset: start.offset }];
    });
    if (fresh.length > 0) await run.commit(fresh);
    return starts;
  };

  const begin = async (reading: Reading, starts: ReadonlyMap<string, StartPosition>): Promise<void> => {
    const start = starts.get(nameOf(reading));
    if (start === undefined) throw kafkaState(`the broker names no position of ${nameOf(reading)}`);
    if (!isCurrent(reading)) return;
    if (isGone(start.offset, start)) {
      await goOn(reading, start.offset === '-2' ? 'unknown' : start.offset, start);
      return;
    }
    reading.committed = start.offset;
    reading.start = start.offset;
    hearEnd(reading, start.high);
    reading.acked = decodeAcked(BigInt(start.offset), start.metadata);
    readFrom(reading, start.offset);
  };

  const readFrom = (reading: Reading, offset: string): void => {
    reading.next = offset;
    reading.sought = false;
    reading.run.seek(reading, offset);
    if (!reading.assigned.paused && !leaving) reading.run.resume(reading);
    noteEnd(reading);
  };

  // The position is gone (I10).
  const goOn = async (reading: Reading, expected: string, { low, high }: LogBounds): Promise<void> => {
    const { topic, partition, run, assigned, committed } = reading;
    const found = onPositionLost === 'latest' ? high : low;
    if (onPositionLost === 'error') {
      // kafkajs has overwritten it, and the next start must not take that for a position.
      if (reading.next !== null) await run.commit([{ topic, partition, offset: committed }]).catch(() => undefined);
      engine.positionLost(assigned, { expected, found: low, action: 'error' });
      return;
    }
    await run.commit([{ topic, partition, offset: found }]);
    engine.positionLost(assigned, { expected, found, action: onPositionLost });
    if (!isCurrent(reading)) return;
    reading.committed = found;
    reading.start = found;
    hearEnd(reading, high);
    // The same offsets may be other messages from here on.
    reading.acked = new Set();
    if (reading.newest !== null) {
      reading.since = new WeakSet();
      reading.newest = null;
      // A commit that was under way may have gone back to an offset of before.
      engine.commitSoon(reading.assigned);
    }
    readFrom(reading, found);
  };

  const take = ({ batch, resolveOffset }: KafkaBatchPayloadLike): void => {
    const reading = readings.get(nameOf(batch));
    // Not resolved: kafkajs reads it again, or not at all where it is no longer ours.
    if (reading === undefined || reading.next === null || !reading.assigned.live) return;
    if (batch.fetchedOffset !== undefined && batch.fetchedOffset !== reading.next) {
      astray(reading);
      return;
    }
    const lastOffset = batch.lastOffset();
    resolveOffset(lastOffset);
    pass(reading, lastOffset);
    const { messages } = batch;
    const within = withinEnd(reading, messages);
    const fresh = withoutAcked(reading, within);
    if (reading.since !== null) for (const record of fresh) reading.since.add(record);
    if (within.length === messages.length) passOver(reading, lastOffset);
    if (fresh.length === 0) engine.commitSoon(reading.assigned);
    engine.push(reading.assigned, fresh);
    noteEnd(reading);
  };

  const pass = (reading: Reading, lastOffset: string): void => {
    reading.next = String(BigInt(lastOffset) + 1n);
    reading.sought = false;
  };

  const withinEnd = (reading: Reading, messages: readonly KafkaRecord[]): readonly KafkaRecord[] => {
    const end = endOf(reading);
    if (end === null || BigInt((messages.at(-1) as KafkaRecord).offset) < end) return messages;
    return messages.filter(({ offset }) => BigInt(offset) < end);
  };

  const withoutAcked = (reading: Reading, messages: readonly KafkaRecord[]): readonly KafkaRecord[] => {
    const { acked } = reading;
    if (acked.size === 0) {
      reading.newest = messages.at(-1) ?? reading.newest;
      return messages;
    }
    return messages.filter((record) => {
      const isDone = acked.has(record.offset);
      if (isDone) passOver(reading, record.offset);
      else reading.newest = record;
      return !isDone;
    });
  };

  const passOver = (reading: Reading, offset: string): void => {
    const { newest } = reading;
    if (newest === null) reading.start = String(BigInt(offset) + 1n);
    else if (newest.offset !== offset) tails.set(newest, offset);
  };

  const skip = (reading: Reading, lastOffset: string): void => {
    if (BigInt(lastOffset) < BigInt(reading.next as string)) return;
    pass(reading, lastOffset);
    passOver(reading, lastOffset);
    engine.commitSoon(reading.assigned);
  };

  // A fetch from before a rejoin, or kafkajs has reset the position: asking again for ours tells which.
  const astray = (reading: Reading, ifStillThere: () => void = () => undefined): void => {
    if (reading.checking) return;
    if (!reading.sought) {
      reading.sought = true;
      reading.run.seek(reading, reading.next as string);
      return;
    }
    reading.checking = true;
    reading.run.pause(reading);
    void check(reading, ifStillThere)
      .catch(() => readAgain(reading))
      .finally(() => {
        reading.checking = false;
      });
  };

  const check = async (reading: Reading, ifStillThere: () => void): Promise<void> => {
    const bounds = await ask((admin) => fetchBounds(admin, [reading.topic]));
    const mine = bounds.get(nameOf(reading));
    if (!isCurrent(reading)) return;
    if (mine !== undefined && isOutside(reading.next as string, mine)) {
      await goOn(reading, reading.next as string, mine);
      return;
    }
    ifStillThere();
    // kafkajs may have overwritten what the group has stored.
    engine.commitSoon(reading.assigned);
    readAgain(reading);
  };

  const readAgain = (reading: Reading): void => {
    if (isCurrent(reading)) readFrom(reading, reading.next as string);
  };

  const isOf = ({ since }: Reading, record: KafkaRecord): boolean => since === null || since.has(record);

  // Where a restart would begin: past what the predecessor had done.
  const watermarkOf = (reading: Reading, last: KafkaRecord | null): bigint => {
    const settled = last !== null && isOf(reading, last) ? last : null;
    let next = settled === null ? BigInt(reading.start) : BigInt(tails.get(settled) ?? settled.offset) + 1n;
    while (reading.acked.has(String(next))) next++;
    return next;
  };

  // The watermark, and what is done above it.
  const offsetOf = (reading: Reading, { last, above }: LogCommit<KafkaRecord>) => {
    const next = watermarkOf(reading, last);
    const left = [...reading.acked].filter((offset) => BigInt(offset) > next);
    const done = above()
      .filter((record) => isOf(reading, record))
      .map(({ offset }) => offset);
    const acked = [...left, ...done].map(BigInt).sort((a, b) => (a < b ? -1 : 1));
    const { topic, partition } = reading;
    return { reading, topic, partition, offset: String(next), metadata: bare ? '' : encodeAcked(next, acked) };
  };

  const hearEnd = (reading: Reading, offset: string): void => {
    reading.end = { offset, at: environment.now() };
  };

  const endOf = (reading: Reading): bigint | null =>
    ends === null ? null : BigInt(ends.get(nameOf(reading))?.high ?? '0');

  const noteEnd = (reading: Reading): void => {
    if (ends === null) return;
    if (readings.get(nameOf(reading)) === reading && BigInt(reading.next as string) < (endOf(reading) as bigint)) {
      unread.add(reading);
    } else {
      unread.delete(reading);
    }
    endIfRead();
  };

  const endIfRead = (): void => {
    if (ends !== null && unread.size === 0) engine.end();
  };

  const loseAll = (): void => {
    const lost = [...readings.values()];
    readings.clear();
    unread.clear();
    for (const { assigned } of lost) engine.lose(assigned);
    draining = false;
    undrained = 0;
  };

  return {
    drain: () => {
      if (!draining) {
        draining = true;
        undrained = readings.size;
        for (const reading of [...readings.values()]) {
          reading.run.pause(reading);
          const done = (): void => void undrained--;
          engine.revoke(reading.assigned, done, drainOnRebalance ? undefined : 0);
        }
      }
      return undrained === 0;
    },
    assign,
    take,
    skip: ({ topic, partition, firstOffset, lastOffset }) => {
      const reading = readings.get(nameOf({ topic, partition }));
      if (reading === undefined || reading.next === null || !reading.assigned.live) return;
      // kafkajs does not say from where it fetched: what begins beyond our position follows a gap, or a reset.
      if ((firstOffset ?? lastOffset) === reading.next) skip(reading, lastOffset);
      else astray(reading, () => skip(reading, lastOffset));
      noteEnd(reading);
    },
    commit: async (run, commits) => {
      const offsets = commits.flatMap((commit) => {
        const reading = readings.get(nameOf(commit.partition as TopicPartition));
        return reading === undefined || reading.next === null ? [] : [offsetOf(reading, commit)];
      });
      if (offsets.length === 0) return;
      // An answer that comes after the next join says nothing of what is ours by then.
      const areOurs = (): boolean => offsets.every(({ reading }) => readings.get(nameOf(reading)) === reading);
      try {
        await run.commit(offsets);
      } catch (error) {
        if (isFenced(error) && areOurs()) loseAll();
        // A broker may allow less metadata than the usual; without it nothing is lost, more comes again.
        if (bare || typeOf(error) !== 'OFFSET_METADATA_TOO_LARGE' || !areOurs()) throw error;
        bare = true;
        await run.commit(offsets.map((offset) => ({ ...offset, metadata: '' })));
      }
      for (const { reading, offset } of offsets) reading.committed = offset;
    },
    askEnds: (run) =>
      run.askEnds([...readings.values()], (of, end) => {
        const reading = readings.get(nameOf(of));
        if (reading?.run === run) hearEnd(reading, end);
      }),
    lag: ({ partition, last }) => {
      const reading = readings.get(nameOf(partition as TopicPartition));
      if (reading?.assigned !== partition || reading.next === null || reading.end === null) return null;
      return lagBehind(watermarkOf(reading, last), reading.next, reading.end);
    },
    resume: (run, assigned) => {
      const reading = readings.get(nameOf(assigned as TopicPartition));
      if (reading === undefined || leaving) return;
      if (reading.next !== null && !reading.checking) run.resume(reading);
    },
    leave: () => {
      leaving = true;
      for (const reading of readings.values()) reading.run.pause(reading);
    },
    loseAll,
  };
}
