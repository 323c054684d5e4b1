import { backendOf, endBackend, endStatement, named, type Backend } from './postgres-backend.js';
import { isInside } from './postgres-begin.js';
import type { PostgresKyselyOf } from './postgres-client.js';
import { committed } from './postgres-committed.js';
import type { Connections } from './postgres-connection.js';
import { isUnanswered } from './postgres-faults.js';
import { kyselyConnection, proofOf, type KyselyConnection } from './postgres-kysely-connection.js';
import { kyselyLoan, type KyselyLoan } from './postgres-kysely-loan.js';
import type { BeforeStatement, Loan } from './postgres-lent.js';
import type { OpenTransaction, StatementResult } from './postgres-open-transaction.js';
import { TransactionTroubles } from './postgres-troubles.js';
import type { OneStatement } from './outbox-write-sql.js';

const NOTHING: StatementResult = { rows: [], count: 0 };

/** All transactions over a kysely share these. @internal */
export interface KyselyTransactionOptions {
  /** BEGIN, with the isolation level. */
  readonly begin: string;
  readonly connections: Connections;
}

/** @internal */
export async function kyselyTransaction<Tx>(
  db: PostgresKyselyOf<Tx>,
  options: KyselyTransactionOptions,
): Promise<OpenTransaction<Tx>> {
  const connection = await kyselyConnection(db);
  try {
    return new KyselyTransaction(connection, options, await kyselyLoan<Tx>(connection));
  } catch (error) {
    connection.release();
    throw error;
  }
}

// Made once a message: see docs/decisions/0004. Not every dialect takes two statements at once, so each goes alone.
class KyselyTransaction<Tx> implements OpenTransaction<Tx> {
  private first = '';
  private backend: Backend | null = null;
  private released = false;
  /** Several handlers get it, one after another. */
  private shared = false;
  private readonly troubles = new TransactionTroubles();

  constructor(
    private readonly connection: KyselyConnection,
    private readonly options: KyselyTransactionOptions,
    private loan: KyselyLoan<Tx> | null,
  ) {}

  lend(before: BeforeStatement): Loan<Tx> {
    const loan = this.loan as KyselyLoan<Tx>;
    this.loan = null;
    loan.begin(before, this.troubles);
    if (this.shared) this.nextLoan().catch(() => undefined);
    return loan;
  }

  async begin(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    this.first = named(sql);
    try {
      await this.query(this.options.begin);
    } catch (error) {
      if (!isInside(error)) throw error;
      await this.query('ROLLBACK');
      await this.query(this.options.begin);
    }
    const result = await this.query(this.first, parameters);
    this.backend = backendOf(result);
    return result;
  }

  beginWith({ text }: OneStatement): Promise<StatementResult> {
    return this.begin(text, []);
  }

  async query(sql: string, parameters: readonly unknown[] = []): Promise<StatementResult> {
    try {
      const rows = await this.connection.query(sql, parameters);
      this.troubles.answered();
      return { rows, count: rows.length };
    } catch (error) {
      throw this.troubles.explain(error);
    }
  }

  async savepoint(name: string, again: boolean, first = ''): Promise<void> {
    this.shared = true;
    if (first !== '') await this.query(first);
    if (again) await this.query(`RELEASE SAVEPOINT ${name}`);
    await this.query(`SAVEPOINT ${name}`);
    await this.nextLoan();
  }

  async undo(name: string): Promise<void> {
    await this.query(`ROLLBACK TO SAVEPOINT ${name}`);
    await this.nextLoan();
  }

  async commit(last: OneStatement | null): Promise<StatementResult> {
    let result: StatementResult;
    let tag: unknown;
    try {
      result = last === null ? NOTHING : await this.query(last.text);
      // Nothing comes in between: what was lent is taken back by now, and the connection answers in the order of what it is sent.
      const { rows } = await this.query('COMMIT');
      tag = (rows[0] as { readonly command?: unknown } | undefined)?.command;
    } catch (error) {
      await this.rollBack(isUnanswered(error));
      throw error;
    }
    this.release();
    // Told by kysely 0.29.9, not by those before.
    committed(tag);
    return result;
  }

  async rollBack(broken: boolean): Promise<void> {
    // Given up while its COMMIT was under way, which has an answer now.
    if (this.released) return;
    if (this.first === '') {
      this.release();
      return;
    }
    if (!broken) {
      try {
        await this.query('ROLLBACK');
        this.release();
        return;
      } catch (error) {
        if (!isUnanswered(error)) {
          this.release(proofOf(this.connection));
          return;
        }
      }
    }
    const { backend, first, connection } = this;
    const { connections } = this.options;
    const proof = proofOf(connection);
    // Its statement is cancelled and not its connection ended: nobody listens to the error of one that kysely has lent. Nobody else has
    // the connection while that is under way, whose statement it would hit.
    const cancelled =
      backend === null
        ? endStatement(connections, first, proof)
        : endBackend(connections, 'pg_cancel_backend', backend, proof);
    this.release(proof.then((answered) => (answered ? cancelled : null)));
    // The proof waits for the statement that is stuck; nobody else need.
    await cancelled;
  }

  private release(proof?: Promise<unknown>): void {
    if (this.released) return;
    this.released = true;
    this.connection.release(proof);
  }

  /** It takes no statement, so it is there before the next handler begins. */
  private async nextLoan(): Promise<void> {
    this.loan ??= await kyselyLoan<Tx>(this.connection);
  }
}
