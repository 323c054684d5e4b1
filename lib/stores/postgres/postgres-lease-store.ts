import { concatMap, defer, EMPTY, ignoreElements, map, type Observable, of } from 'rxjs';
import type { LeaseGroup, LeaseStore, ShardLease } from '../../core/lease-store.js';
import { checkNames, checkOptions } from '../../core/options.js';
import { leaseSql } from './lease-sql.js';
import { CALL_RULES } from './postgres-call-options.js';
import type { PostgresLike } from './postgres-client.js';
import { connectionsOf } from './postgres-connection.js';
import { NAME_OPTIONS, resolveNames, type PostgresNames } from './postgres-names.js';
import { visibleRows } from './postgres-row-security.js';
import { runStatement } from './postgres-statement.js';

/** What `postgresLeaseStore` takes. @public */
export interface PostgresLeaseStoreOptions extends Pick<PostgresNames, 'schema' | 'shardLeases'> {
  /**
   * How long a call may take, the wait for a connection of the pool included, in milliseconds, at least 100. After that
   * the store counts as out. Default: 10,000.
   */
  readonly timeoutMs?: number;
}

const OWNER = 'postgresLeaseStore';

/**
 * The leases and checkpoints of shards in PostgreSQL 14 or later, for all workers that have the same table. Each call is one
 * statement and one round trip, however many shards it takes.
 *
 * The table is made by `postgresMigrations` or `postgresSchema`. Where it is missing or too old, calls fail with
 * `schema-mismatch`, which names the migration. It has one row a shard; `postgresPurge` leaves it alone.
 * @public
 */
export function postgresLeaseStore(db: PostgresLike, options: PostgresLeaseStoreOptions = {}): LeaseStore {
  checkNames(OWNER, options, ['timeoutMs', ...NAME_OPTIONS]);
  const { timeoutMs = 10_000 } = options;
  checkOptions(OWNER, { db, timeoutMs }, CALL_RULES);
  const names = resolveNames(OWNER, options);
  const sql = leaseSql(names);
  const call = { owner: OWNER, names, table: 'shardLeases' } as const;
  const connections = connectionsOf(db);
  const visible = visibleRows(connections, call, timeoutMs);

  const run = <R>(
    statement: string,
    { consumer, stream }: LeaseGroup,
    parameters: readonly unknown[],
  ): Observable<readonly R[]> =>
    runStatement(connections, call, timeoutMs, statement, [consumer, stream, ...parameters]) as Observable<
      readonly R[]
    >;

  return {
    list: (group) =>
      visible.pipe(
        concatMap(() => run<Row>(sql.list, group, [])),
        map((rows) => rows.map(leaseOf)),
      ),
    add: (group, leases) =>
      defer(() => (leases.length === 0 ? EMPTY : run(sql.add, group, parametersOf(leases)).pipe(ignoreElements()))),
    write: (group, leases) =>
      defer(() => {
        if (leases.length === 0) return of([]);
        return run<Pick<Row, 'shard'>>(sql.write, group, parametersOf(leases)).pipe(
          map((rows) => {
            const written = new Set(rows.map(({ shard }) => shard));
            return leases.map(({ shard }) => written.has(shard));
          }),
        );
      }),
    remove: (group, leases) =>
      defer(() => {
        if (leases.length === 0) return EMPTY;
        const parameters = [leases.map(({ shard }) => shard), leases.map(({ counter }) => counter)];
        return run(sql.remove, group, parameters).pipe(ignoreElements());
      }),
  };
}

interface Row {
  readonly shard: string;
  readonly counter: string;
  readonly owner: string | null;
  readonly wanted_by: string | null;
  readonly checkpoint: string;
  readonly acked: string;
  readonly done_until_ms: string;
  readonly parents: string;
}

function leaseOf({ shard, counter, owner, wanted_by, checkpoint, acked, done_until_ms, parents }: Row): ShardLease {
  return {
    shard,
    counter: Number(counter),
    owner,
    wantedBy: wanted_by,
    checkpoint,
    acked,
    doneUntil: Number(done_until_ms),
    parents: JSON.parse(parents) as string[],
  };
}

/** A list for each column, in the order of `LeaseSql`. */
function parametersOf(leases: readonly ShardLease[]): unknown[] {
  return [
    leases.map(({ shard }) => shard),
    leases.map(({ counter }) => counter),
    leases.map(({ owner }) => owner),
    leases.map(({ wantedBy }) => wantedBy),
    leases.map(({ checkpoint }) => checkpoint),
    leases.map(({ acked }) => acked),
    leases.map(({ doneUntil }) => doneUntil),
    leases.map(({ parents }) => arrayText(parents)),
  ];
}

/** As Postgres writes a `text[]`. */
function arrayText(items: readonly string[]): string {
  return `{${items.map((item) => `"${item.replace(/["\\]/g, '\\$&')}"`).join()}}`;
}
