import type { EngineLag } from '../../core/engine-reports.js';
import { environment } from '../../core/environment.js';
import type { AssignedPartition } from '../../core/log-engine.js';
import type { KafkaRecord } from './kafka-client.js';
import type { LogBounds } from './kafka-offsets.js';
import type { Run, TopicPartition } from './kafka-run.js';

/** Where a partition ends, and when a broker told it, by the monotonic clock. @internal */
export interface ToldEnd {
  readonly offset: string;
  readonly at: number;
}

/** A partition that is read in this generation of the group. @internal */
export interface Reading extends TopicPartition {
  readonly run: Run;
  readonly assigned: AssignedPartition;
  /** The offset that the next fetch must ask for; `null` while the start is looked up. */
  next: string | null;
  /** What the group has stored. */
  committed: string;
  /** What is to be committed as long as nothing that was read from here on is settled. */
  start: string;
  /** Offsets above it that are done, by this owner's predecessor: they are not read again. */
  acked: ReadonlySet<string>;
  /** The newest record that was handed on. */
  newest: KafkaRecord | null;
  /** What was handed on since the position was lost: the offsets of before say nothing any more. `null`: it never was. */
  since: WeakSet<KafkaRecord> | null;
  /** Its end, and when a broker told it. */
  end: ToldEnd | null;
  /** A fetch came from elsewhere, and we asked for `next` again. */
  sought: boolean;
  /** Whether the position still exists is being looked up. */
  checking: boolean;
}

/** How far a watermark is behind the end. Records that were fetched since the broker told of that may be beyond it. @internal */
export function lagBehind(watermark: bigint, next: string, { offset, at }: ToldEnd): EngineLag {
  const ahead = [offset, next].map((end) => Number(BigInt(end) - watermark));
  return { lagMessages: Math.max(0, ...ahead), ageMs: environment.now() - at };
}

/** Whether there is no such position in a partition. @internal */
export function isOutside(offset: string, { low, high }: LogBounds): boolean {
  return BigInt(offset) < BigInt(low) || BigInt(offset) > BigInt(high);
}
