import type { KyselyConnection, KyselyDriverConnection } from './postgres-kysely-connection.js';
import { inFrontOf, usedTooLate, type BeforeStatement, type Loan } from './postgres-lent.js';
import type { TransactionTroubles } from './postgres-troubles.js';

/** A transaction of kysely that can be lent, to one handler. @internal */
export interface KyselyLoan<Tx> extends Loan<Tx> {
  begin(before: BeforeStatement, troubles: TransactionTroubles): void;
}

interface Lock {
  phase: 'made' | 'lent' | 'over';
  before: BeforeStatement;
  troubles: TransactionTroubles | null;
  readonly streams: Set<AsyncIterator<unknown>>;
}

/**
 * A `Transaction<DB>` for each handler, though all of a group are in one transaction of the server: each has a lock of its own in
 * front of the connection, which shuts when the handler ends. kysely's own refusal begins with its own COMMIT, and
 * what waits in its queue by then is sent all the same, whoever has the connection at that time.
 *
 * kysely makes one by beginning it. Its BEGIN is ours already, so the lock answers that one itself. What ends it is ours too: kysely
 * never hears of it, and nothing of it is left once nobody has the object.
 * @internal
 */
export function kyselyLoan<Tx>({ kysely, driver }: KyselyConnection): Promise<KyselyLoan<Tx>> {
  return new Promise((resolve, reject) => {
    const lock: Lock = { phase: 'made', before: () => null, troubles: null, streams: new Set() };
    const locked = behind(lock, driver);
    const executor = kysely.getExecutor?.();
    if (executor === undefined || kysely.transaction === undefined) {
      reject(new TypeError('This is no Kysely: it has no transaction() or no getExecutor().'));
      return;
    }
    // It is that of this one connection, which nobody else has.
    executor.provideConnection = (consumer) => consumer(locked);
    kysely
      .transaction()
      .execute((tx) => {
        resolve({
          tx: tx as Tx,
          begin: (before, troubles) => {
            lock.before = before;
            lock.troubles = troubles;
            lock.phase = 'lent';
          },
          end: () => {
            lock.phase = 'over';
            // A cursor that is left open has the connection for itself until it is closed.
            for (const stream of lock.streams) stream.return?.().catch(() => undefined);
          },
        });
        return new Promise(() => undefined);
      })
      .catch(reject);
  });
}

function behind(lock: Lock, driver: KyselyDriverConnection): KyselyDriverConnection {
  const textOf = ([query]: readonly unknown[]): string => String((query as { readonly sql?: unknown } | null)?.sql);
  const executeQuery = async (...given: Parameters<KyselyDriverConnection['executeQuery']>): Promise<unknown> => {
    if (lock.phase === 'made') return { rows: [] };
    const before = lock.phase === 'over' ? null : lock.before(textOf(given));
    if (before !== null) await before;
    if (lock.phase === 'over') throw usedTooLate();
    const answer = driver.executeQuery(...given);
    return lock.troubles?.watch(answer) ?? answer;
  };
  async function* streamQuery(...given: unknown[]): AsyncGenerator<unknown> {
    if (lock.phase !== 'lent') throw usedTooLate();
    await lock.before(textOf(given));
    const stream = driver.streamQuery?.(...given) as AsyncIterableIterator<unknown>;
    lock.streams.add(stream);
    try {
      for await (const rows of stream) {
        if (lock.phase !== 'lent') throw usedTooLate();
        yield rows;
      }
    } finally {
      lock.streams.delete(stream);
    }
  }
  return inFrontOf(driver, { executeQuery, streamQuery });
}
