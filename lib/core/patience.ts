import { environment } from './environment.js';
import { SluiceError, type SluiceErrorCode } from './errors.js';
import { classifyFailure } from './failures.js';

/**
 * Decides when a source gives up something that it needs: a service, a subscription, a store. One rule for all of them:
 *
 * - Before the first answer the user is looking, and a wrong password is most likely just that: the source ends at once.
 * - After the first answer the same words are mostly an outage: the host gives no credentials for a second, a policy or a
 *   topic is being replaced. The source goes on trying, tells of it as `unavailable`, and ends only once nothing but
 *   refusals has come for `refusalTimeoutMs`.
 *
 * `who` is one of those that ask, such as a shard: each may be refused for a reason of its own.
 * @internal
 */
export interface Patience {
  /** It was answered. */
  answered(who: string): void;
  /** It was refused, by an error that lasts until somebody acts. The answer is what the source ends with; `null`: it goes on. */
  refused(who: string, error: SluiceError): SluiceError | null;
  /** Nobody answered. That is waited for without a bound, but for something that has never answered at all. */
  unreached(who: string, error: SluiceError): SluiceError | null;
  /** It does not ask any more. */
  forget(who: string): void;
}

/** How long a source may be refused before it ends, where it has worked before. @internal */
export const REFUSAL_TIMEOUT_MS = 300_000;

const REFUSALS: ReadonlySet<SluiceErrorCode> = new Set([
  'authentication-failed',
  'not-authorized',
  'unknown-topic',
  'schema-mismatch',
] as const);

/** Whether the same call ends the same way until somebody does something about it. @internal */
export function isRefusal(error: SluiceError): boolean {
  return REFUSALS.has(error.code) || classifyFailure(error) === 'permanent';
}

/** Failures of one kind in a row. */
interface Run {
  readonly kind: 'refused' | 'unreached';
  readonly since: number;
  count: number;
}

/**
 * `firstTries`: the refusal in a row that ends a source which has never been answered; with `Infinity` only time ends it.
 * @internal
 */
export function createPatience(timeoutMs: number, firstTries = 1): Patience {
  const runs = new Map<string, Run>();
  let hasWorked = false;

  const count = (who: string, kind: Run['kind']): { readonly forMs: number; readonly failures: number } => {
    const now = environment.now();
    let run = runs.get(who);
    if (run?.kind !== kind) {
      run = { kind, since: now, count: 0 };
      runs.set(who, run);
    }
    return { forMs: now - run.since, failures: ++run.count };
  };

  return {
    answered: (who) => {
      hasWorked = true;
      runs.delete(who);
    },
    refused: (who, error) => {
      const { forMs, failures } = count(who, 'refused');
      if (!hasWorked && failures >= firstTries) return error;
      return forMs >= timeoutMs ? lasting(error, forMs) : null;
    },
    unreached: (who, error) => {
      const { forMs } = count(who, 'unreached');
      return !hasWorked && forMs >= timeoutMs ? lasting(error, forMs) : null;
    },
    forget: (who) => void runs.delete(who),
  };
}

function lasting({ code, message, details, cause }: SluiceError, forMs: number): SluiceError {
  const seconds = Math.round(forMs / 1_000);
  return new SluiceError(code, `${message} It has been so for ${seconds} s (refusalTimeoutMs).`, {
    ...(cause === undefined ? {} : { cause }),
    details: { ...details, forMs },
  });
}
