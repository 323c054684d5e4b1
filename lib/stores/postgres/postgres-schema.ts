import { qualified, quoted, type PostgresTable, type ResolvedNames } from './postgres-names.js';

/** A column as it is made, and as the catalogue shows it. @internal */
export interface ColumnShape {
  readonly name: string;
  readonly type: string;
  readonly notNull?: boolean;
  /** What follows the type when it is made: collation, default, generation. */
  readonly clause?: string;
}

/** An index as it is made, and as the catalogue shows it behind the name of its table. @internal */
export interface IndexShape {
  /** Behind the name of the table; a primary key has none. */
  readonly suffix: string;
  readonly using: string;
}

/** @internal */
export interface TableShape {
  readonly migration: string;
  readonly columns: readonly ColumnShape[];
  readonly primaryKey: readonly string[];
  readonly constraints?: readonly string[];
  readonly storage?: string;
  readonly indexes: readonly IndexShape[];
}

const TIME = 'timestamp with time zone';
const PENDING = '((published_at IS NULL) AND (dead_at IS NULL))';

/** What this version expects; the catalogue's own words, so that they can be compared. @internal */
export const SHAPES: Readonly<Record<PostgresTable, TableShape>> = {
  processedEvents: {
    migration: 'rxsluice_0001_processed_events',
    columns: [
      { name: 'consumer', type: 'text', notNull: true, clause: 'COLLATE "C"' },
      { name: 'event_id', type: 'text', notNull: true, clause: 'COLLATE "C"' },
      { name: 'token', type: 'uuid' },
      { name: 'leased_until', type: TIME },
      { name: 'processed_at', type: TIME },
    ],
    primaryKey: ['consumer', 'event_id'],
    constraints: ['CHECK ((leased_until IS NULL) <> (processed_at IS NULL))'],
    // Each row is written twice; in the room for the second time it stays on its page, and no index hears of it.
    storage: 'fillfactor = 50',
    // None but the primary key: each message writes here, and the purge walks the table by its pages.
    indexes: [],
  },
  outbox: {
    migration: 'rxsluice_0002_outbox',
    columns: [
      { name: 'id', type: 'bigint', notNull: true, clause: 'GENERATED ALWAYS AS IDENTITY' },
      { name: 'message_id', type: 'uuid', notNull: true, clause: 'DEFAULT gen_random_uuid()' },
      { name: 'topic', type: 'text', notNull: true },
      { name: 'key', type: 'bytea' },
      {
        // What keeps its order: topic and key in 64 bits, for a key may be too long for an index.
        name: 'lane',
        type: 'bigint',
        clause: "GENERATED ALWAYS AS (('x' || left(md5(md5(topic) || md5(key)), 16))::bit(64)::bigint) STORED",
      },
      { name: 'payload', type: 'bytea' },
      // As it was written: jsonb takes neither NUL nor half a surrogate pair.
      { name: 'headers', type: 'json', notNull: true, clause: "DEFAULT '[]'" },
      { name: 'partition', type: 'integer' },
      { name: 'timestamp_ms', type: 'bigint' },
      { name: 'created_at', type: TIME, notNull: true, clause: 'DEFAULT clock_timestamp()' },
      { name: 'leased_until', type: TIME },
      { name: 'token', type: 'uuid' },
      { name: 'attempts', type: 'integer', notNull: true, clause: 'DEFAULT 0' },
      { name: 'last_error', type: 'text' },
      { name: 'published_at', type: TIME },
      { name: 'dead_at', type: TIME },
    ],
    primaryKey: ['id'],
    // Of what is still to be published alone, so they stay as small as the backlog.
    indexes: [
      { suffix: 'pending', using: `btree (id) WHERE ${PENDING}` },
      { suffix: 'lanes', using: `btree (lane, id) WHERE ${PENDING}` },
    ],
  },
  shardLeases: {
    migration: 'rxsluice_0003_shard_leases',
    columns: [
      { name: 'consumer', type: 'text', notNull: true, clause: 'COLLATE "C"' },
      { name: 'stream', type: 'text', notNull: true, clause: 'COLLATE "C"' },
      { name: 'shard', type: 'text', notNull: true, clause: 'COLLATE "C"' },
      { name: 'counter', type: 'bigint', notNull: true },
      { name: 'owner', type: 'text' },
      { name: 'wanted_by', type: 'text' },
      { name: 'checkpoint', type: 'text', notNull: true },
      { name: 'acked', type: 'text', notNull: true },
      { name: 'done_until_ms', type: 'bigint', notNull: true },
      { name: 'parents', type: 'text[]', notNull: true },
      // For people: no worker judges another by a clock.
      { name: 'updated_at', type: TIME, notNull: true, clause: 'DEFAULT clock_timestamp()' },
    ],
    primaryKey: ['consumer', 'stream', 'shard'],
    // Each row is written every few seconds, for as long as it is there: the next one finds room on the same page.
    storage: 'fillfactor = 50',
    indexes: [],
  },
};

/** The statements of a table's migration; running them again changes nothing. @internal */
export function statementsOf(names: ResolvedNames, table: PostgresTable): string[] {
  const { columns, primaryKey, constraints = [], storage, indexes } = SHAPES[table];
  const lines = [...columns.map(columnSql), `PRIMARY KEY (${primaryKey.join(', ')})`, ...constraints];
  const create = `CREATE TABLE IF NOT EXISTS ${qualified(names, table)} (\n  ${lines.join(',\n  ')}\n)${storage ? ` WITH (${storage})` : ''}`;
  return [...schemaSql(names), create, ...indexes.map((index) => indexSql(names, table, index))];
}

/** @internal */
export function columnSql({ name, type, notNull, clause }: ColumnShape): string {
  return [name, type, clause, notNull ? 'NOT NULL' : undefined].filter((part) => part !== undefined).join(' ');
}

/** @internal */
export function indexSql(names: ResolvedNames, table: PostgresTable, { suffix, using }: IndexShape): string {
  const index = quoted(`${names[table]}_${suffix}`);
  return `CREATE INDEX IF NOT EXISTS ${index} ON ${qualified(names, table)} USING ${using}`;
}

// `CREATE SCHEMA IF NOT EXISTS` asks for the right to create one also where it exists.
function schemaSql({ schema }: ResolvedNames): string[] {
  if (schema === 'public') return [];
  const name = `'${quoted(schema).replaceAll("'", "''")}'`;
  const body = `BEGIN IF to_regnamespace(${name}) IS NULL THEN CREATE SCHEMA ${quoted(schema)}; END IF; END`;
  return [`DO $rxsluice$ ${body} $rxsluice$`];
}
