import { hiddenSql } from './postgres-row-security.js';

/** What the catalogue of the server knows of one table. @internal */
export interface Catalogue {
  readonly version: number;
  readonly encoding: string;
  /** Whether there is such a table. */
  readonly found: boolean;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly notNull: boolean;
    /** Has a default, is generated or an identity: an insert need not name it. */
    readonly filled: boolean;
    readonly collation: string | null;
  }[];
  readonly indexes: readonly {
    readonly name: string;
    readonly valid: boolean;
    readonly unique: boolean;
    /** From the method on. */
    readonly using: string;
  }[];
  /** Those of SELECT, INSERT, UPDATE and DELETE that the user of the connection has not. */
  readonly denied: readonly string[];
  /** Those for which row-level security leaves rows out. */
  readonly hidden: readonly string[];
  /** Whether the user may use what is in the schema. */
  readonly usable: boolean;
}

/** `$1` the schema, `$2` the table → one row for `catalogueOf`. @internal */
export const catalogueSql = `WITH found AS (
    SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
  )
  SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'encoding', current_setting('server_encoding'),
    'found', EXISTS (SELECT FROM found),
    'columns', (
      SELECT coalesce(json_agg(json_build_object(
        'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
        'filled', a.atthasdef OR a.attidentity <> '', 'collation', l.collname
      ) ORDER BY a.attnum), '[]')
      FROM found JOIN pg_attribute AS a ON a.attrelid = found.oid
      LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
      WHERE a.attnum > 0 AND NOT a.attisdropped
    ),
    'indexes', (
      SELECT coalesce(json_agg(json_build_object(
        'name', c.relname, 'valid', x.indisvalid, 'unique', x.indisunique,
        'using', substring(pg_get_indexdef(x.indexrelid) FROM ' USING (.*)$')
      )), '[]')
      FROM found JOIN pg_index AS x ON x.indrelid = found.oid JOIN pg_class AS c ON c.oid = x.indexrelid
    ),
    'denied', (
      SELECT coalesce(json_agg(wanted.privilege), '[]')
      FROM found, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted (privilege)
      WHERE NOT has_table_privilege(found.oid, wanted.privilege)
    ),
    'hidden', (SELECT ${hiddenSql('found.oid')} FROM found),
    'usable', (SELECT coalesce(bool_and(has_schema_privilege(oid, 'USAGE')), true) FROM pg_namespace WHERE nspname = $1)
  )::text AS catalogue`;

/** As text and not as JSON: who has set another parser for that type in pg is not in our way. @internal */
export function catalogueOf(row: unknown): Catalogue {
  return JSON.parse((row as { readonly catalogue: string }).catalogue) as Catalogue;
}
