import type { Catalogue } from './postgres-catalogue.js';
import { qualified, quoted, type PostgresTable, type ResolvedNames } from './postgres-names.js';
import { SHOW_ROWS } from './postgres-row-security.js';
import { columnSql, indexSql, SHAPES, statementsOf, type ColumnShape } from './postgres-schema.js';

/** Something that is not as this version expects it. @public */
export interface PostgresProblem {
  /** What kind of thing: for programs. */
  readonly kind:
    | 'old-server'
    | 'encoding'
    | 'missing-table'
    | 'missing-column'
    | 'different-column'
    | 'unknown-column'
    | 'missing-index'
    | 'invalid-index'
    | 'missing-right'
    | 'hidden-rows';
  /** The same for people, with its place. */
  readonly message: string;
  /** The migration that makes it as it is to be; `null` where none does. */
  readonly migration: string | null;
  /** SQL that mends it; `null` where somebody has to decide. */
  readonly run: string | null;
}

const OLDEST = 140_000;

/** Compares one table with what is expected. @internal */
export function problemsOf(names: ResolvedNames, table: PostgresTable, live: Catalogue): PostgresProblem[] {
  const { migration } = SHAPES[table];
  const where = qualified(names, table);
  const server = [...serverProblems(live), ...schemaProblems(names, live)];
  if (!live.found) {
    const run = statementsOf(names, table)
      .map((statement) => `${statement};`)
      .join('\n');
    return [...server, { kind: 'missing-table', message: `The table ${where} is missing.`, migration, run }];
  }
  return [
    ...server,
    ...columnProblems(names, table, live),
    ...indexProblems(names, table, live),
    ...live.denied.map((right) => ({
      kind: 'missing-right' as const,
      message: `The user of this connection has no right to ${right} on ${where}.`,
      migration: null,
      run: null,
    })),
    ...hiddenProblems(where, live),
  ];
}

function hiddenProblems(where: string, { hidden }: Catalogue): PostgresProblem[] {
  if (hidden.length === 0) return [];
  const message = `Row-level security hides rows of ${where} from the user of this connection (${hidden.join(', ')}). ${SHOW_ROWS}`;
  return [{ kind: 'hidden-rows', message, migration: null, run: null }];
}

function serverProblems({ version, encoding }: Catalogue): PostgresProblem[] {
  const problems: PostgresProblem[] = [];
  const other = { migration: null, run: null };
  if (version < OLDEST) {
    const message = `PostgreSQL 14 or later is needed, this is ${Math.floor(version / 10_000)}.`;
    problems.push({ kind: 'old-server', message, ...other });
  }
  if (encoding !== 'UTF8') {
    const message = `The database is encoded in ${encoding}: keys that it cannot hold are refused. UTF8 holds all.`;
    problems.push({ kind: 'encoding', message, ...other });
  }
  return problems;
}

function schemaProblems({ schema }: ResolvedNames, { usable }: Catalogue): PostgresProblem[] {
  if (usable) return [];
  const message = `The user of this connection has no right to USAGE of the schema ${quoted(schema)}.`;
  return [{ kind: 'missing-right', message, migration: null, run: null }];
}

function columnProblems(names: ResolvedNames, table: PostgresTable, { columns }: Catalogue): PostgresProblem[] {
  const { migration, columns: expected } = SHAPES[table];
  const where = qualified(names, table);
  const problems: PostgresProblem[] = [];
  for (const column of expected) {
    const live = columns.find(({ name }) => name === column.name);
    if (live === undefined) {
      const run = `ALTER TABLE ${where} ADD COLUMN ${columnSql(column)};`;
      const message = `The column ${column.name} of ${where} is missing.`;
      problems.push({ kind: 'missing-column', message, migration, run });
    } else if (!isLike(column, live)) {
      const message = `The column ${column.name} of ${where} is not ${columnSql(column)}.`;
      problems.push({ kind: 'different-column', message, migration: null, run: null });
    }
  }
  for (const { name, notNull, filled } of columns) {
    if (!notNull || filled || expected.some((column) => column.name === name)) continue;
    const message = `The column ${name} of ${where} is unknown and must not be null: nothing can be inserted.`;
    problems.push({ kind: 'unknown-column', message, migration: null, run: null });
  }
  return problems;
}

function isLike({ type, notNull = false, clause = '' }: ColumnShape, live: Catalogue['columns'][number]): boolean {
  if (live.type !== type || live.notNull !== notNull) return false;
  if (clause.startsWith('COLLATE')) return live.collation === 'C';
  return clause === '' || live.filled;
}

function indexProblems(names: ResolvedNames, table: PostgresTable, { indexes }: Catalogue): PostgresProblem[] {
  const { migration, primaryKey, indexes: expected } = SHAPES[table];
  const where = qualified(names, table);
  const has = (using: string, unique: boolean): boolean =>
    indexes.some((index) => index.valid && index.using === using && (index.unique || !unique));
  const problems: PostgresProblem[] = [];
  if (!has(`btree (${primaryKey.join(', ')})`, true)) {
    const run = `ALTER TABLE ${where} ADD PRIMARY KEY (${primaryKey.join(', ')});`;
    const message = `${where} has no unique index on (${primaryKey.join(', ')}).`;
    problems.push({ kind: 'missing-index', message, migration, run });
  }
  for (const shape of expected) {
    if (has(shape.using, false)) continue;
    const name = `${names[table]}_${shape.suffix}`;
    const taken = indexes.find((index) => index.name === name);
    const drop = taken === undefined ? '' : `DROP INDEX ${quoted(names.schema)}.${quoted(name)};\n`;
    const state = taken === undefined ? 'missing' : taken.valid ? 'different' : 'invalid: its making was cut off';
    problems.push({
      kind: taken !== undefined && !taken.valid ? 'invalid-index' : 'missing-index',
      message: `The index ${name} on ${where} is ${state}.`,
      migration,
      run: `${drop}${indexSql(names, table, shape)};`,
    });
  }
  return problems;
}
