import { SluiceError } from '../../core/errors.js';
import type { TransactionTroubles } from './postgres-troubles.js';

/**
 * A client of pg as a handler gets it. Once `isOver` it runs nothing more: what a handler has left behind, as `Promise.all` does
 * where one of them fails, would be a part of the next message's transaction, or of none. It is not the handler's to release.
 * @internal
 */
export function lentClient<T extends object>(client: T, isOver: () => boolean, troubles: TransactionTroubles): T {
  const query = (...given: unknown[]): unknown => {
    if (isOver()) throw refused('is used after its handler has ended. Await all that a handler begins');
    return troubles.watch((client as { query(...given: unknown[]): unknown }).query(...given));
  };
  const release = (): never => {
    throw refused('is released by its handler. Leave that to withOutbox');
  };
  return new Proxy(client, {
    get: (target, name) => {
      if (name === 'query') return query;
      if (name === 'release') return release;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

function refused(what: string): SluiceError {
  return new SluiceError('transaction-ended', `withOutbox: tx ${what}.`);
}
