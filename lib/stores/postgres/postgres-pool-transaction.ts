import type { OneStatement } from './outbox-write-sql.js';
import { backendOf, endBackend, endStatement, named, type Backend } from './postgres-backend.js';
import type { PostgresPoolClientLike, PostgresPoolOf } from './postgres-client.js';
import type { Connections } from './postgres-connection.js';
import { isBroken, sqlStateOf } from './postgres-errors.js';
import { lentClient } from './postgres-lent-client.js';
import type { OpenTransaction, StatementResult } from './postgres-open-transaction.js';
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

  lend(isOver: () => boolean): Tx {
    return lentClient(this.tx as Tx & object, isOver, this.troubles);
  }

  async begin(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    await this.query(this.options.begin, []);
    this.first = named(sql);
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
        return await this.run(this.first, []);
      } catch (error) {
        if (sqlStateOf(error) !== UNKNOWN_STATEMENT) throw error;
        prepared.gone(client);
        await this.query('ROLLBACK', []);
      }
    }
    this.first = named(`${begin}; ${text}`);
    const result = await this.run(this.first, []);
    this.backend = backendOf(result);
    prepared.seen(client, this.backend);
    return result;
  }

  query(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    return this.run(sql, parameters);
  }

  savepoint(name: string, again: boolean): Promise<unknown> {
    return this.run(`${again ? `RELEASE SAVEPOINT ${name}; ` : ''}SAVEPOINT ${name}`, []);
  }

  async commit(last: OneStatement | null): Promise<StatementResult> {
    try {
      const sql = last === null ? 'COMMIT' : `${this.isPrepared() ? last.execute : last.text}; COMMIT`;
      const result = await this.run(sql, [], 1);
      this.release(false);
      return result;
    } catch (error) {
      if (isBroken(error)) this.release(true);
      else await this.rollBack(false);
      throw error;
    }
  }

  async rollBack(broken: boolean): Promise<void> {
    if (!broken) {
      await this.run('ROLLBACK', []).then(
        () => this.release(this.unfit),
        () => this.release(true),
      );
      return;
    }
    const { backend, first } = this;
    this.release(true);
    // A server does not look at a connection while a statement runs, and keeps the locks until then.
    if (backend !== null) await endBackend(this.options.connections, 'pg_terminate_backend', backend);
    else if (first !== '') await endStatement(this.options.connections, first);
  }

  private isPrepared(): boolean {
    return this.backend?.since === 'backend_start';
  }

  /** Several statements without parameters are several results; `fromEnd` says which of them counts. */
  private async run(text: string, values: readonly unknown[], fromEnd = 0): Promise<StatementResult> {
    let given: PgResult | readonly PgResult[];
    try {
      given = await (values.length === 0 ? this.client.query(text) : this.client.query(text, values as unknown[]));
    } catch (error) {
      const explained = this.troubles.explain(error);
      this.unfit ||= isBroken(explained);
      throw explained;
    }
    this.troubles.answered();
    const result = Array.isArray(given) ? ((given as readonly PgResult[]).at(-1 - fromEnd) as PgResult) : given;
    return { rows: result.rows, count: result.rowCount ?? 0 };
  }

  private release(broken: boolean): void {
    if (this.released) return;
    this.released = true;
    this.client.removeListener('error', this.ended);
    this.client.release(broken);
  }
}
