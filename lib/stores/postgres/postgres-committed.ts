import { SluiceError } from '../../core/errors.js';

/** `tag`: what Postgres has answered to COMMIT, where that is known. It is ROLLBACK where a statement had failed unseen. @internal */
export function committed(tag: unknown): void {
  if (tag !== 'ROLLBACK') return;
  throw new SluiceError(
    'transaction-ended',
    'withOutbox: Postgres has rolled back where it was to commit, since a statement of the transaction had failed and nobody ' +
      'looked at that. Await all that a handler begins, and do not pass over its failures.',
  );
}
