import { isSluiceError } from '../../core/errors.js';
import type { LogEngine } from '../../core/log-engine.js';
import { createPatience, isRefusal, type Patience } from '../../core/patience.js';
import { isThrottled, kinesisError } from './kinesis-errors.js';
import type { KinesisRecord } from './kinesis-record.js';
import { strangeStore } from './kinesis-source-errors.js';

const OWNER = 'fromKinesis';
const SERVICE = 'Kinesis';
const LEASES = 'the lease store';

/** The name of the one who asks for the shards of the stream, beside those that are read. @internal */
export const SHARDS = '';

// Credentials that have run out are mostly renewed by the client itself.
const FIRST_READS = 3;

/** Tells of the service and of the lease store whether they answer, and ends the source where they refuse for too long. @internal */
export interface KinesisOutages {
  /** Kinesis did what a shard, or `SHARDS`, asked for. */
  answered(who: string): void;
  /** Kinesis failed one of those; they ask again. To be throttled is no failure. */
  failed(who: string, error: unknown): void;
  /** A shard is not read any more. */
  forget(shard: string): void;
  /** The lease store failed one of those that call it. */
  leasesFailed(who: string, error: unknown): void;
  leasesAnswered(who: string): void;
  /** The lease store does again what all of them ask for. */
  leasesBack(): void;
}

/** @internal */
export function createKinesisOutages(
  engine: Pick<LogEngine<KinesisRecord>, 'unavailable' | 'recovered' | 'fail'>,
  stream: string,
  refusalTimeoutMs: number,
): KinesisOutages {
  // Apart, since a permission to list is none to read.
  const listing = createPatience(refusalTimeoutMs);
  const reads = createPatience(refusalTimeoutMs, FIRST_READS);
  const keeping = createPatience(refusalTimeoutMs);
  // Apart as well: a store may be read by who may not write to it.
  const rights = new Map<string, Patience>();
  const rightOf = (who: string): Patience => {
    const right = rights.get(who) ?? createPatience(refusalTimeoutMs);
    rights.set(who, right);
    return right;
  };
  let everAnswered = false;
  // The shards, or SHARDS, whose last call failed: calls of others may have succeeded since.
  const failing = new Set<string>();

  const settled = (who: string): void => {
    failing.delete(who);
    if (failing.size === 0) engine.recovered(SERVICE);
  };
  const patienceOf = (who: string) => (who === SHARDS ? listing : reads);

  return {
    answered: (who) => {
      everAnswered = true;
      patienceOf(who).answered(who);
      settled(who);
    },
    failed: (who, error) => {
      if (isThrottled(error)) return;
      const typed = kinesisError(OWNER, error, { stream, ...(who === SHARDS ? {} : { shard: who }) });
      const patience = patienceOf(who);
      // An error that is not clear will not become so by itself, so it counts as a refusal.
      const isRefused = isRefusal(typed) || typed.code === 'source-failed';
      const over = isRefused ? patience.refused(who, typed) : patience.unreached(who, typed);
      if (over !== null || !everAnswered) {
        engine.fail(over ?? typed);
        return;
      }
      failing.add(who);
      engine.unavailable(SERVICE, typed);
    },
    forget: (shard) => {
      reads.forget(shard);
      settled(shard);
    },
    leasesFailed: (who, error) => {
      const typed = isSluiceError(error) ? error : strangeStore(stream, error);
      const isRefused = isRefusal(typed);
      if (!isRefused) rightOf(who).forget(who);
      const over = isRefused ? rightOf(who).refused(who, typed) : keeping.unreached(who, typed);
      if (over === null) engine.unavailable(LEASES, typed);
      else engine.fail(over);
    },
    leasesAnswered: (who) => {
      keeping.answered(who);
      rightOf(who).answered(who);
    },
    leasesBack: () => engine.recovered(LEASES),
  };
}
