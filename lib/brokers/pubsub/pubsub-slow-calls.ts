import { environment } from '../../core/environment.js';

/** Knows when the calls that tell the service of leases were slow last, those that are tried again included. @internal */
export interface PubSubSlowCalls {
  /** A call begins; what is returned says that it was answered. */
  begin(): () => void;
  /** When one was slow last; now, where one is. By the monotonic clock. */
  lastAt(): number;
}

const SLOW_MS = 1_000;

/** @internal */
export function createSlowCalls(): PubSubSlowCalls {
  // The oldest first.
  const underWay = new Set<{ readonly begunAt: number }>();
  let lastAt = -Infinity;

  const isSlow = ({ begunAt }: { readonly begunAt: number }): boolean => environment.now() - begunAt > SLOW_MS;

  return {
    begin: () => {
      const call = { begunAt: environment.now() };
      underWay.add(call);
      return () => {
        if (underWay.delete(call) && isSlow(call)) lastAt = environment.now();
      };
    },
    lastAt: () => {
      const [oldest] = underWay;
      if (oldest !== undefined && isSlow(oldest)) lastAt = environment.now();
      return lastAt;
    },
  };
}
