import { defer, of, type Observable } from 'rxjs';
import { environment } from '../../core/environment.js';
import type { Claim, HeldClaim, IdempotencyStore } from '../../core/idempotency-store.js';
import { SluiceError } from '../../core/errors.js';
import { checkNames, checkOptions } from '../../core/options.js';

/** The bounds of the memory store. @public */
export interface MemoryIdempotencyStoreOptions {
  /**
   * How many processed keys are remembered; the oldest are forgotten first, and a repeat of a forgotten one is processed again. A
   * whole number, at least 1. Default: 100,000.
   */
  readonly maxKeys?: number;
  /**
   * How many bytes processed keys may take, two for each UTF-16 unit: the oldest are forgotten first, as above. Keys are made of
   * messages, so whoever sends those says how long they are. A whole number, at least 1. Default: 64 MiB, 335 units for each of 100,000.
   */
  readonly maxBytes?: number;
  /** How long a processed key is remembered, in milliseconds, above 0. Default: 24 hours. */
  readonly retentionMs?: number;
}

interface Hold {
  readonly token: string;
  readonly until: number;
}

const DAY_MS = 86_400_000;
const MIB = 1024 * 1024;

/**
 * Remembers processed keys in this process, within bounds: repeats are found for as long as the process lives and the
 * bounds allow. For what must outlive a restart or be shared, use a store in a database.
 * @public
 */
export function memoryIdempotencyStore(options: MemoryIdempotencyStoreOptions = {}): IdempotencyStore {
  checkNames('memoryIdempotencyStore', options, ['maxKeys', 'maxBytes', 'retentionMs']);
  const { maxKeys = 100_000, maxBytes = 64 * MIB, retentionMs = DAY_MS } = options;
  checkOptions(
    'memoryIdempotencyStore',
    { maxKeys, maxBytes, retentionMs },
    {
      maxKeys: { integer: true, min: 1 },
      maxBytes: { integer: true, min: 1 },
      retentionMs: { above: 0 },
    },
  );
  // By the time of their confirm, hence of their expiry.
  const done = new Map<string, number>();
  let doneBytes = 0;
  // In credit of the pipelines that claim, as the messages are that have these keys; lapsed ones are swept before the bound is met.
  const held = new Map<string, Hold>();
  let tokens = 0;

  const remember = (key: string, until: number): void => {
    if (done.delete(key)) doneBytes -= bytesOf(key);
    done.set(key, until);
    doneBytes += bytesOf(key);
  };

  const forgetOld = (now: number): void => {
    for (const [key, until] of done) {
      if (until > now && done.size <= maxKeys && doneBytes <= maxBytes) break;
      done.delete(key);
      doneBytes -= bytesOf(key);
    }
  };

  const claimOne = (key: string, leaseMs: number, now: number): Claim => {
    const processed = done.get(key);
    if (processed !== undefined && processed > now) return { status: 'done' };
    const hold = held.get(key);
    if (hold !== undefined && hold.until > now) return { status: 'held' };
    const token = String(++tokens);
    held.set(key, { token, until: now + leaseMs });
    return { status: 'claimed', token };
  };

  const owns = ({ key, token }: HeldClaim): boolean => held.get(key)?.token === token;

  const makeRoom = (more: number, now: number): void => {
    if (held.size + more <= maxKeys) return;
    for (const [key, { until }] of held) if (until <= now) held.delete(key);
    if (held.size + more <= maxKeys) return;
    throw new SluiceError(
      'store-failed',
      `memoryIdempotencyStore: ${held.size} keys are claimed; maxKeys is ${maxKeys}.`,
      {
        details: { held: held.size, maxKeys },
      },
    );
  };

  return {
    claim: (keys, leaseMs) =>
      answering((now) => {
        makeRoom(keys.length, now);
        return keys.map((key) => claimOne(key, leaseMs, now));
      }),
    renew: (claims, leaseMs) =>
      answering((now) =>
        claims.map((claim) => {
          if (!owns(claim)) return false;
          held.set(claim.key, { token: claim.token, until: now + leaseMs });
          return true;
        }),
      ),
    confirm: (claims) =>
      answering((now) => {
        const answers = claims.map((claim) => {
          if (!owns(claim)) return false;
          held.delete(claim.key);
          remember(claim.key, now + retentionMs);
          return true;
        });
        forgetOld(now);
        return answers;
      }),
    release: (claims) =>
      answering(() => {
        for (const claim of claims) if (owns(claim)) held.delete(claim.key);
      }),
  };
}

function bytesOf(key: string): number {
  return 2 * key.length;
}

function answering<A>(answer: (now: number) => A): Observable<A> {
  return defer(() => of(answer(environment.now())));
}
