import { lastValueFrom, merge, Observable, Subject } from 'rxjs';
import { hashOf } from '../../core/hash.js';
import { checkNames, checkOptions } from '../../core/options.js';
import type { OutboxStore } from '../../core/outbox-store.js';
import type { OutboxMessage } from '../../core/outbox-message.js';
import { outboxRelaySql } from './outbox-relay-sql.js';
import { outboxWriteSql } from './outbox-write-sql.js';
import { CALL_RULES } from './postgres-call-options.js';
import {
  isKysely,
  type PostgresClientLike,
  type PostgresIsolation,
  type PostgresKyselyOf,
  type PostgresLike,
  type PostgresPoolOf,
} from './postgres-client.js';
import { connectionsOf } from './postgres-connection.js';
import { tooLate, type PostgresCall } from './postgres-errors.js';
import { postgresFaults } from './postgres-faults.js';
import { NAME_OPTIONS, qualified, resolveNames, type PostgresNames } from './postgres-names.js';
import { openTransactions, type TransactionsOf } from './postgres-open-transaction.js';
import { outboxEmit } from './postgres-outbox-emit.js';
import { postgresOutboxRows, type RunStatement } from './postgres-outbox-rows.js';
import { outboxTransaction } from './postgres-outbox-transaction.js';
import { visibleRows } from './postgres-row-security.js';
import { runStatement } from './postgres-statement.js';
import { canListen, wakeUpsOf, type PostgresListenLike } from './postgres-wake-ups.js';
import { storedKey } from './stored-key.js';

/** What `postgresOutboxStore` takes. @public */
export interface PostgresOutboxStoreOptions extends PostgresNames {
  /**
   * How long a statement of the store's own may take, the wait for a connection included, in milliseconds, at least 100. After
   * that the store counts as out, and everything is tried again. Statements of handlers are theirs. Default: 10,000.
   */
  readonly timeoutMs?: number;
  /** Default: the database's, which is mostly `'read committed'`. */
  readonly isolation?: PostgresIsolation;
  /**
   * Each transaction that emits tells the relays of other processes, by NOTIFY; the relays of this process hear of it anyway. All
   * such commits of a database wait in one line, so it costs where there are thousands a second. Default: `false`.
   */
  readonly notify?: boolean;
  /**
   * The `Pool` of pg by which relays listen, on one connection for as long as they run. Default: none, so they poll; with `notify`
   * and a `Pool` as the database, that one.
   */
  readonly listen?: PostgresListenLike;
}

/** An outbox in PostgreSQL. @public */
export interface PostgresOutboxStore<Tx = unknown> extends OutboxStore<Tx> {
  /**
   * Stores messages in a transaction of your own, outside of `withOutbox`: in an HTTP handler, a job, a script. They are published
   * once you commit, in the order of each key, and never if you roll back. With `notify` the commit wakes the relays; without it
   * they find them by their next poll.
   *
   * `tx` is a `Transaction` of kysely or a client of pg, whichever has the transaction open. One statement, for all messages
   * of the call; two more where nothing was written in the transaction before. It takes as long as your transaction lets it.
   *
   * Await it before you commit. It rejects with `invalid-emit` for what `emit` of `withOutbox` refuses too, before anything is
   * sent; with `transaction-ended` where no transaction is open, and stores nothing then. Any other error is that of a statement of
   * yours: the transaction is lost, roll it back. A serialization failure (40001, 40P01) is passed on as the client gave it.
   *
   * ```ts
   * await db.transaction().execute(async (tx) => {
   *   await tx.insertInto('orders').values(order).execute();
   *   await store.emit(tx, { topic: 'orders', key: order.id, value: JSON.stringify(order) });
   * });
   * ```
   */
  emit(tx: Tx | PostgresClientLike, messages: OutboxMessage | readonly OutboxMessage[]): Promise<void>;
}

const OWNER = 'postgresOutboxStore';

/**
 * The outbox and the processed keys in PostgreSQL 14 or later: for `withOutbox`, whose handlers get the `Transaction<DB>` of
 * your kysely or a client of your pool, and for `fromOutbox`. Leases run by the clock of the server.
 *
 * A transaction takes one connection while its handlers run, so `concurrency` of `withOutbox` is at most the size of the
 * pool. Beyond the handler's own statements it costs BEGIN, one for the keys, one for what was emitted, if anything, and COMMIT.
 *
 * The tables are made by `postgresMigrations` or `postgresSchema`. Where they are missing or too old, calls fail with
 * `schema-mismatch`, which names the migration: everything is held until it is run. Published rows stay until `postgresPurge`
 * removes them.
 *
 * ```ts
 * const store = postgresOutboxStore(db);
 * fromKafka(kafka, { topic: 'orders', groupId: 'billing' }).pipe(
 *   decode(json(Order)),
 *   withOutbox(store, async (order, { tx, emit }) => {
 *     await tx.insertInto('invoices').values(invoiceOf(order)).execute();
 *     emit({ topic: 'invoices', key: order.id, value: JSON.stringify(order) });
 *   }),
 * )
 * ```
 * @public
 */
export function postgresOutboxStore<Tx>(
  db: PostgresKyselyOf<Tx>,
  options?: PostgresOutboxStoreOptions,
): PostgresOutboxStore<Tx>;
/**
 * The same for an application on plain `pg`: `tx` is a client of its pool, and its transaction is the store's to end.
 * @public
 */
export function postgresOutboxStore<Client>(
  db: PostgresPoolOf<Client>,
  options?: PostgresOutboxStoreOptions,
): PostgresOutboxStore<Client>;
export function postgresOutboxStore<Tx>(
  db: TransactionsOf<Tx>,
  options: PostgresOutboxStoreOptions = {},
): PostgresOutboxStore<Tx> {
  checkNames(OWNER, options, ['timeoutMs', 'isolation', 'notify', 'listen', ...NAME_OPTIONS]);
  const { timeoutMs = 10_000, isolation, notify = false, listen } = options;
  checkOptions(
    OWNER,
    { db, timeoutMs, isolation, notify, listen },
    {
      ...CALL_RULES,
      isolation: {
        that: {
          be: "'read committed', 'repeatable read' or 'serializable'",
          holds: (value) => ISOLATIONS.has(value),
          isNamed: true,
        },
      },
      notify: { that: { be: 'true or false', holds: (value) => typeof value === 'boolean' } },
      listen: { that: { be: 'a Pool of pg', holds: canListen } },
    },
  );
  const names = resolveNames(OWNER, options);
  const call: PostgresCall = { owner: OWNER, names, table: 'outbox' };
  const faults = postgresFaults(call);
  const channel = `rxsluice_outbox_${(hashOf(qualified(names, 'outbox')) >>> 0).toString(16)}`;
  const writeSql = outboxWriteSql(names, notify ? channel : null);
  const connections = connectionsOf(db as PostgresLike);
  const transactions = openTransactions(db, isolation, connections, writeSql.prepared);
  const run: RunStatement = <R>(sql: string, parameters: readonly unknown[]) =>
    runStatement(connections, call, timeoutMs, sql, parameters) as Observable<readonly R[]>;
  const stored = new Subject<void>();
  const listener = listen ?? (notify && !isKysely(db) ? (db as unknown as PostgresListenLike) : undefined);

  const transactionOptions = {
    call,
    sql: writeSql,
    faults,
    timeoutMs,
    forget: (consumer: string, keys: readonly string[]) =>
      lastValueFrom(run(writeSql.forget, [storedKey(consumer), keys.map(storedKey)])),
    stored: () => stored.next(),
  };

  return {
    transaction: (consumer) =>
      new Observable((subscriber) => {
        const fail = (error: unknown): void => subscriber.error(faults.told(error));
        const late = setTimeout(() => fail(tooLate(call, timeoutMs)), timeoutMs);
        const opening = transactions.subscribe({
          next: (open) => subscriber.next(outboxTransaction(open, consumer, transactionOptions)),
          error: fail,
          complete: () => subscriber.complete(),
        });
        return () => {
          clearTimeout(late);
          opening.unsubscribe();
        };
      }),
    faultOf: faults.faultOf,
    emit: outboxEmit(OWNER, writeSql, faults),
    ...postgresOutboxRows(outboxRelaySql(names), run, visibleRows(connections, call, timeoutMs)),
    wakeUps: listener === undefined ? stored : merge(stored, wakeUpsOf(listener, channel)),
  };
}

const ISOLATIONS: ReadonlySet<unknown> = new Set<PostgresIsolation>([
  'read committed',
  'repeatable read',
  'serializable',
]);
