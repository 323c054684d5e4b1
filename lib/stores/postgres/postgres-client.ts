/**
 * Your database: a `Kysely<DB>` of any `DB`, or a `Pool` of pg 8. It stays yours: connections, their number, TLS,
 * time-outs, and its end. Set `connectionTimeoutMillis`, and listen to the pool's `error`, as pg asks for.
 * @public
 */
export type PostgresLike = PostgresKyselyLike | PostgresPoolLike;

/** The part of a `Kysely<DB>` of kysely 0.28 that is used. Statements go around its plugins. @public */
export interface PostgresKyselyLike extends PostgresExecutorLike {
  /** The same database without what renames tables and columns. */
  withoutPlugins(): PostgresKyselyLike;
  /** One connection for several statements. */
  connection(): { execute<R>(work: (db: PostgresExecutorLike) => Promise<R>): Promise<R> };
}

/** What runs a statement: a `Kysely<DB>`, a `Transaction<DB>`, the `db` of a migration. @public */
export interface PostgresExecutorLike {
  /** Runs what is compiled already. */
  executeQuery(query: PostgresRawQuery): Promise<{ readonly rows: unknown[] }>;
}

/** A statement as kysely has it once it is compiled. @public */
export interface PostgresRawQuery {
  /** With `$1`, `$2`, … for the parameters. */
  readonly sql: string;
  /** Never part of `sql`. */
  readonly parameters: readonly unknown[];
  /** The statement as kysely's tree: one piece of text. */
  readonly query: {
    readonly kind: 'RawNode';
    readonly sqlFragments: readonly string[];
    readonly parameters: readonly [];
  };
  /** For the plugins, of which there are none. */
  readonly queryId: { readonly queryId: string };
}

/** The part of a pg `Pool` that is used. @public */
export interface PostgresPoolLike {
  /** Takes a connection out of the pool, or waits for one. */
  connect(): Promise<PostgresPoolClientLike>;
}

/** The part of a pg `PoolClient` that is used. @public */
export interface PostgresPoolClientLike {
  /** Runs a statement; none is named, so each is planned for the table as it is. */
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[]; readonly rowCount?: number | null }>;
  /** The number of the server's process, as the server has told it. */
  readonly processID?: number | null;
  /** Whether a transaction is open: `I` none, `T` one, `E` one that has failed. Newer versions of pg 8 have it. */
  getTransactionStatus?(): string | null;
  /** Gives the connection back; `true` closes it instead. */
  release(destroy?: boolean): void;
  /** A connection that breaks while it is ours says so here; nobody listening, it would end the process. */
  on(event: 'error', listener: (error: Error) => void): unknown;
  /** Ends the listening. */
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
}

/** A client of pg, of a pool or by itself, that may be in a transaction. @public */
export interface PostgresClientLike {
  /** Runs a statement. */
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
  /** A `Pool` has this, and is refused: its statements run on any of its connections, so it is in no transaction. */
  readonly totalCount?: never;
}

/** How transactions see one another; see `SET TRANSACTION` of PostgreSQL. @public */
export type PostgresIsolation = 'read committed' | 'repeatable read' | 'serializable';

/** A `Kysely<DB>`, whose transactions are `Transaction<DB>`. @public */
export interface PostgresKyselyOf<Tx> extends PostgresKyselyLike {
  /** Begins to build one. */
  transaction(): PostgresTransactionBuilderLike<Tx>;
}

/** The part of kysely's `TransactionBuilder<DB>` that is used. @public */
export interface PostgresTransactionBuilderLike<Tx> {
  /** Another isolation than the database's default. */
  setIsolationLevel(level: PostgresIsolation): PostgresTransactionBuilderLike<Tx>;
  /** Commits once `work` is done, rolls back if it fails. */
  execute<R>(work: (tx: Tx) => Promise<R>): Promise<R>;
}

/** A `Pool` of pg, whose transactions are its `PoolClient`. @public */
export interface PostgresPoolOf<Client> {
  /** Takes a connection out of the pool, or waits for one. */
  connect(): Promise<Client>;
  /** The same for callbacks; not used. */
  connect(
    callback: (error: Error | undefined, client: Client | undefined, done: (release?: unknown) => void) => void,
  ): void;
}

/** @internal */
export function isPostgres(value: unknown): boolean {
  return isKysely(value) || isPool(value);
}

/** @internal */
export function isKysely(value: unknown): value is PostgresKyselyLike {
  const { executeQuery, withoutPlugins, connection } = (value ?? {}) as Partial<PostgresKyselyLike>;
  return [executeQuery, withoutPlugins, connection].every((member) => typeof member === 'function');
}

function isPool(value: unknown): boolean {
  const { connect, query } = (value ?? {}) as { readonly connect?: unknown; readonly query?: unknown };
  return typeof connect === 'function' && typeof query === 'function';
}
