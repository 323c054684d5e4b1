import { checkNames, checkOptions, type OptionRule } from '../../core/options.js';
import { isStorableText } from '../../core/own-message.js';

/**
 * Where the tables are. Each is text of 1 to 40 bytes of UTF-8 that holds no NUL; it is quoted, so upper case counts.
 * @public
 */
export interface PostgresNames {
  /** The schema of all tables. Default: `'public'`. */
  readonly schema?: string;
  /** The table of the idempotency keys. Default: `'processed_events'`. */
  readonly processedEvents?: string;
  /** The table of the outbox. Default: `'outbox'`. */
  readonly outbox?: string;
  /** The table of the leases of shards. Default: `'shard_leases'`. */
  readonly shardLeases?: string;
}

/** One of the tables. @public */
export type PostgresTable = 'processedEvents' | 'outbox' | 'shardLeases';

/** @internal */
export type ResolvedNames = Required<PostgresNames>;

/** The options that name things, for `checkNames`. @internal */
export const NAME_OPTIONS = ['schema', 'processedEvents', 'outbox', 'shardLeases'] as const;

/** All of them, in the order of their migrations. */
const TABLES: readonly PostgresTable[] = ['processedEvents', 'outbox', 'shardLeases'];

// Postgres cuts names at 63 bytes, and the names of indexes are made of these.
const MAX_LENGTH = 40;

const name: OptionRule = {
  that: {
    be: `a name of 1 to ${MAX_LENGTH} bytes`,
    holds: (value) =>
      typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= MAX_LENGTH && isStorableText(value),
  },
};

/** Checks the names among the options, and fills in the defaults. @internal */
export function resolveNames(owner: string, options: PostgresNames): ResolvedNames {
  const {
    schema = 'public',
    processedEvents = 'processed_events',
    outbox = 'outbox',
    shardLeases = 'shard_leases',
  } = options;
  const names = { schema, processedEvents, outbox, shardLeases };
  checkOptions(owner, names, { schema: name, processedEvents: name, outbox: name, shardLeases: name });
  return names;
}

/** Which tables are meant; checks the names too. @internal */
export function resolveTables(
  owner: string,
  options: PostgresNames & { readonly tables?: readonly PostgresTable[] },
): { readonly names: ResolvedNames; readonly tables: readonly PostgresTable[] } {
  checkNames(owner, options, [...NAME_OPTIONS, 'tables']);
  const { tables = TABLES } = options;
  checkOptions(
    owner,
    { tables },
    {
      tables: {
        that: {
          be: `a list of ${TABLES.map((table) => `'${table}'`).join(', ')}`,
          holds: (value) => Array.isArray(value) && value.every((table) => TABLES.includes(table as PostgresTable)),
        },
      },
    },
  );
  return { names: resolveNames(owner, options), tables: TABLES.filter((table) => tables.includes(table)) };
}

/** @internal */
export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

/** The table with its schema, quoted. @internal */
export function qualified(names: ResolvedNames, table: PostgresTable): string {
  return `${quoted(names.schema)}.${quoted(names[table])}`;
}
