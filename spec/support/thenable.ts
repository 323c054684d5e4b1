import { asyncScheduler } from 'rxjs';

export interface Settling {
  readonly atMs: number;
  readonly value?: unknown;
  readonly error?: unknown;
}

/** As a query builder that must not be awaited: `then` itself throws. */
export const throwingThenable = (error: unknown): PromiseLike<never> => ({
  then: () => {
    throw error;
  },
});

/** A promise-like in virtual time, which may also do what a Promise never does: settle twice. */
export function thenable(...settlings: readonly Settling[]): PromiseLike<never> {
  const promise: PromiseLike<unknown> = {
    then: (onValue, onError) => {
      for (const settling of settlings) {
        asyncScheduler.schedule(() => {
          if ('error' in settling) void onError?.(settling.error);
          else void onValue?.(settling.value);
        }, settling.atMs);
      }
      return promise as never;
    },
  };
  return promise as PromiseLike<never>;
}
