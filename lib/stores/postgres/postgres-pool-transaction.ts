import type { OneStatement } from './outbox-write-sql.js';
import { backendOf, endBackend, endStatement, named, type Backend } from './postgres-backend.js';
import { isInside } from './postgres-begin.js';
import type { PostgresPoolClientLike, PostgresPoolOf } from './postgres-client.js';
import { committed } from './postgres-committed.js';
import type { Connections } from './postgres-connection.js';
import { isBroken, sqlStateOf } from './postgres-errors.js';
import { isUnanswered } from './postgres-faults.js';
import type { BeforeStatement, Loan } from './postgres-lent.js';
import type { OpenTransaction, StatementResult } from './postgres-open-transaction.js';
import { poolLoan } from './postgres-pool-loan.js';
import type { PreparedConnections } from './postgres-prepared.js';
import { TransactionTroubles } from './postgres-troubles.js';

/** What all transactions over a pool share. @internal */
export interface PoolTransactionOptions {
  /** BEGIN, with the isolation level. */
  readonly begin: string;
  readonly connections: Connections;
  readonly prepared: PreparedConnections;
}

/** @internal */
export async function poolTransaction<Tx>(
  pool: PostgresPoolOf<Tx>,
  options: PoolTransactionOptions,
): Promise<OpenTransaction<Tx>> {
  return new PoolTransaction(await pool.connect(), options);
}

interface PgResult {
  readonly rows: readonly unknown[];
  readonly rowCount?: number | null;
  readonly command?: unknown;
}

const UNKNOWN_STATEMENT = '26000';

// Made once a message: see docs/decisions/0004.
class PoolTransaction<Tx> implements OpenTransaction<Tx> {
  private readonly client: PostgresPoolClientLike;
  private released = false;
  // Of no more use, as one to a server that is a standby by now.
  private unfit = false;
  private first = '';
  private backend: Backend | null = null;
  private readonly troubles = new TransactionTroubles();
  // The next statement fails without saying why.
  private readonly ended = (error: unknown): void => this.troubles.ended(error);

  constructor(
    private readonly tx: Tx,
    private readonly options: PoolTransactionOptions,
  ) {
    this.client = tx as PostgresPoolClientLike;
    this.client.on('error', this.ended);
  }

  lend(before: BeforeStatement): Loan<Tx> {
    return poolLoan(this.tx as Tx & object, before, this.troubles);
  }

  async begin(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    this.first = named(sql);
    await this.start(this.options.begin);
    const result = await this.query(this.first, parameters);
    this.backend = backendOf(result);
    return result;
  }

  async beginWith({ mark, text, execute }: OneStatement): Promise<StatementResult> {
    const { client } = this;
    const { begin, prepared } = this.options;
    const backend = await prepared.ready(client);
    if (backend !== null) {
      this.backend = backend;
      try {
        this.first = named(`${begin}; ${mark}; ${execute}`);
        return await this.start(this.first);
      } catch (error) {
        if (sqlStateOf(error) !== UNKNOWN_STATEMENT) throw error;
        prepared.gone(client);
        await this.query('ROLLBACK', []);
      }
    }
    this.first = named(`${begin}; ${text}`);
    const result = await this.start(this.first);
    this.backend = backendOf(result);
    prepared.seen(client, this.backend);
    return result;
  }

  query(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    return this.run(sql, parameters);
  }

  savepoint(name: string, again: boolean, first = ''): Promise<unknown> {
    const before = first === '' ? '' : `${first}; `;
    return this.run(`${before}${again ? `RELEASE SAVEPOINT ${name}; ` : ''}SAVEPOINT ${name}`, []);
  }

  undo(name: string): Promise<unknown> {
    return this.run(`ROLLBACK TO SAVEPOINT ${name}`, []);
  }

  async commit(last: OneStatement | null): Promise<StatementResult> {
    let results: readonly PgResult[];
    try {
      const sql = last === null ? 'COMMIT' : `${this.isPrepared() ? last.execute : last.text}; COMMIT`;
      results = await this.send(sql, []);
    } catch (error) {
      if (isBroken(error) && !isUnanswered(error)) this.release(true);
      else await this.rollBack(isUnanswered(error));
      throw error;
    }
    this.release(false);
    committed(results.at(-1)?.command);
    return resultOf(results.at(-2));
  }

  async rollBack(broken: boolean): Promise<void> {
    if (this.released) return;
    const { backend, first } = this;
    if (!broken) {
      try {
        if (first !== '') await this.run('ROLLBACK', []);
        this.release(this.unfit);
        return;
      } catch (error) {
        if (!isUnanswered(error)) {
          this.release(true);
          return;
        }
      }
    }
    this.release(true);
    // A server does not look at a connection while a statement runs, and keeps the locks until then.
    if (backend !== null) await endBackend(this.options.connections, 'pg_terminate_backend', backend);
    else if (first !== '') await endStatement(this.options.connections, first);
  }

  /** Runs what begins the transaction, on a connection that may not be as clean as it should. */
  private async start(text: string): Promise<StatementResult> {
    try {
      return await this.run(text, []);
    } catch (error) {
      if (!isInside(error)) throw error;
      await this.run('ROLLBACK', []);
      return this.run(text, []);
    }
  }

  private isPrepared(): boolean {
    return this.backend?.since === 'backend_start';
  }

  private async run(text: string, values: readonly unknown[]): Promise<StatementResult> {
    return resultOf((await this.send(text, values)).at(-1));
  }

  /** Several statements without parameters are several results. */
  private async send(text: string, values: readonly unknown[]): Promise<readonly PgResult[]> {
    let given: PgResult | readonly PgResult[];
    try {
      given = await (values.length === 0 ? this.client.query(text) : this.client.query(text, values as unknown[]));
    } catch (error) {
      const explained = this.troubles.explain(error);
      this.unfit ||= isBroken(explained);
      throw explained;
    }
    this.troubles.answered();
    return Array.isArray(given) ? (given as readonly PgResult[]) : [given];
  }

  private release(broken: boolean): void {
    if (this.released) return;
    this.released = true;
    this.client.removeListener('error', this.ended);
    this.client.release(broken);
  }
}

function resultOf(result: PgResult | undefined): StatementResult {
  return { rows: result?.rows ?? [], count: result?.rowCount ?? 0 };
}
