import type { Observable } from 'rxjs';
import type { OneStatement } from './outbox-write-sql.js';
import { beginSql } from './postgres-begin.js';
import { isKysely, type PostgresIsolation, type PostgresKyselyOf, type PostgresPoolOf } from './postgres-client.js';
import { requestsOf, type Connections } from './postgres-connection.js';
import { kyselyTransaction } from './postgres-kysely-transaction.js';
import type { BeforeStatement, Loan } from './postgres-lent.js';
import { poolTransaction } from './postgres-pool-transaction.js';
import { preparedConnections, type PreparedSql } from './postgres-prepared.js';

/** What a statement gave. @internal */
export interface StatementResult {
  readonly rows: readonly unknown[];
  /** How many rows it acted on. */
  readonly count: number;
}

/** A transaction on a connection of its own, until `commit` has ended or `rollBack` is called. @internal */
export interface OpenTransaction<Tx> {
  /** For one handler at a time, until it is taken back. */
  lend(before: BeforeStatement): Loan<Tx>;
  /** The first statement. */
  begin(sql: string, parameters: readonly unknown[]): Promise<StatementResult>;
  /** The same for one that may go with BEGIN. */
  beginWith(statement: OneStatement): Promise<StatementResult>;
  /** In the order of the calls, those by `tx` included. */
  query(sql: string, parameters: readonly unknown[]): Promise<StatementResult>;
  /** `again`: there is a savepoint of that name, whose work is kept. `first`: a statement in front, without parameters. */
  savepoint(name: string, again: boolean, first?: string): Promise<unknown>;
  /** Undoes what came after the savepoint, which stays. */
  undo(name: string): Promise<unknown>;
  /** Runs a last statement, gives what it gave, and commits. Where that fails, all is rolled back. Nothing is lent any more. */
  commit(last: OneStatement | null): Promise<StatementResult>;
  /** `broken`: the connection is stuck. Never fails. */
  rollBack(broken: boolean): Promise<unknown>;
}

/** @internal */
export type TransactionsOf<Tx> = PostgresKyselyOf<Tx> | PostgresPoolOf<Tx>;

/** Emits an open transaction for each who subscribes. @internal */
export function openTransactions<Tx>(
  db: TransactionsOf<Tx>,
  isolation: PostgresIsolation | undefined,
  connections: Connections,
  statements: readonly PreparedSql[],
): Observable<OpenTransaction<Tx>> {
  const begin = beginSql(isolation);
  const prepared = preparedConnections(statements);
  const open = isKysely(db)
    ? () => kyselyTransaction<Tx>(db, { begin, connections })
    : () => poolTransaction<Tx>(db, { begin, connections, prepared });
  return requestsOf(open, (transaction) => void transaction.rollBack(false));
}
