import { environment } from '../../core/environment.js';
import type { Checkpoint } from './kinesis-checkpoint.js';
import type { KinesisIteratorType } from './kinesis-client.js';
import { CLOCKS_DIFFER_MS } from './kinesis-shards.js';

/** Where a read begins, in the words of the service. @internal */
export interface KinesisStart {
  readonly type: KinesisIteratorType;
  readonly sequenceNumber?: string;
  readonly timestamp?: Date;
}

// The clock may be set meanwhile, and no timer waits for longer than some weeks.
const LONGEST_WAIT_MS = 60_000;

/** Where to begin: behind what came, or at the checkpoint where nothing came yet. @internal */
export function startOf(from: Checkpoint, received: string | null): KinesisStart {
  if (received !== null) return { type: 'AFTER_SEQUENCE_NUMBER', sequenceNumber: received };
  switch (from.kind) {
    case 'time':
      return { type: 'AT_TIMESTAMP', timestamp: new Date(from.ms) };
    case 'at':
    case 'after':
      // Also behind a message: it tells whether what is above it is still what was counted.
      return { type: 'AT_SEQUENCE_NUMBER', sequenceNumber: from.sequenceNumber };
    case 'latest':
      return { type: 'LATEST' };
    default:
      return { type: 'TRIM_HORIZON' };
  }
}

/** For how long to wait before it is looked at again; 0 where it may begin. The service refuses times to come. @internal */
export function untilStartMs(from: Checkpoint, received: string | null): number {
  if (received !== null || from.kind !== 'time') return 0;
  return Math.min(LONGEST_WAIT_MS, Math.max(0, from.ms - environment.wallClock()));
}

/** Whether it is a time that by the clock of the service may be to come. @internal */
export function isHardlyPast(from: Checkpoint, received: string | null): boolean {
  return received === null && from.kind === 'time' && environment.wallClock() - from.ms < CLOCKS_DIFFER_MS;
}

/** Where to begin anew what began at the latest record and brought none: not at what is the latest then. @internal */
export function withoutLatest(from: Checkpoint): Checkpoint {
  if (from.kind !== 'latest') return from;
  return { kind: 'time', ms: Math.max(0, environment.wallClock() - CLOCKS_DIFFER_MS) };
}
