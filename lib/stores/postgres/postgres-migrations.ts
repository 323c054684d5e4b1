import type { PostgresExecutorLike } from './postgres-client.js';
import { execute } from './postgres-kysely-connection.js';
import { qualified, resolveTables, type PostgresNames, type PostgresTable } from './postgres-names.js';
import { SHAPES, statementsOf } from './postgres-schema.js';

/** Which tables, and what they are called. @public */
export interface PostgresSchemaOptions extends PostgresNames {
  /**
   * `processedEvents` is for `postgresIdempotencyStore`, with `outbox` for `postgresOutboxStore`; `shardLeases` is for
   * `postgresLeaseStore`. Default: all.
   */
  readonly tables?: readonly PostgresTable[];
}

/** A migration of kysely. @public */
export interface PostgresMigration {
  /** Makes what is not there; to run it again changes nothing. */
  up(db: PostgresExecutorLike): Promise<void>;
  /** Drops its table, with all that is in it. */
  down(db: PostgresExecutorLike): Promise<void>;
}

/**
 * The tables as migrations of kysely, by name; one a table. Their names sort by themselves, so give them a migrator of
 * their own, or merge them into yours.
 *
 * ```ts
 * import { Migrator } from 'kysely'; // of kysely 0.29: from 'kysely/migration'
 * import { postgresMigrations } from 'rxsluice/postgres';
 *
 * const provider = { getMigrations: async () => postgresMigrations() };
 * await new Migrator({ db, provider, migrationTableName: 'rxsluice_migration', migrationLockTableName: 'rxsluice_migration_lock' })
 *   .migrateToLatest();
 * ```
 * @public
 */
export function postgresMigrations(options: PostgresSchemaOptions = {}): Record<string, PostgresMigration> {
  const { names, tables } = resolveTables('postgresMigrations', options);
  const migration = (table: PostgresTable): PostgresMigration => ({
    up: async (db) => {
      for (const statement of statementsOf(names, table)) await execute(db, statement);
    },
    down: async (db) => {
      await execute(db, `DROP TABLE IF EXISTS ${qualified(names, table)}`);
    },
  });
  return Object.fromEntries(tables.map((table) => [SHAPES[table].migration, migration(table)]));
}

/**
 * The same as SQL, to be run by hand or by any other tool. Running it again changes nothing.
 * @public
 */
export function postgresSchema(options: PostgresSchemaOptions = {}): string {
  const { names, tables } = resolveTables('postgresSchema', options);
  return tables
    .map((table) => [`-- ${SHAPES[table].migration}`, ...statementsOf(names, table).map((sql) => `${sql};`)].join('\n'))
    .join('\n\n')
    .concat('\n');
}
