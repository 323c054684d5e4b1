import { SluiceError } from '../../core/errors.js';

/** The transaction as it is lent to a handler, until it is taken back. @internal */
export interface Loan<Tx> {
  readonly tx: Tx;
  /** From now on `tx` runs nothing more, what kysely has still in its queue included. */
  end(): void;
}

/** Hears of each statement of a handler; what it answers is waited for before that is sent. @internal */
export type BeforeStatement = (text: string) => Promise<unknown> | null;

/** The object with some members of our own in front of its own. @internal */
export function inFrontOf<T extends object>(target: T, members: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get: (_, name) => {
      if (typeof name === 'string' && Object.hasOwn(members, name)) return members[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** @internal */
export function usedTooLate(): SluiceError {
  return new SluiceError(
    'transaction-ended',
    'withOutbox: tx is used after its handler has ended, so the statement was not run. Await all that a handler begins, ' +
      'also where one of several fails (Promise.allSettled).',
  );
}
