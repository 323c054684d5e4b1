import { defer, map, of, tap, type Observable } from 'rxjs';
import type { Claim, HeldClaim, IdempotencyStore } from '../../core/idempotency-store.js';
import { checkNames, checkOptions } from '../../core/options.js';
import { isStorableText } from '../../core/own-message.js';
import { idempotencySql, type IdempotencySql } from './idempotency-sql.js';
import { CALL_RULES } from './postgres-call-options.js';
import type { PostgresLike } from './postgres-client.js';
import { connectionsOf } from './postgres-connection.js';
import { NAME_OPTIONS, resolveNames, type PostgresNames } from './postgres-names.js';
import { runStatement } from './postgres-statement.js';
import { isTrue } from './postgres-values.js';
import { mayBeLong, storedKey, storedKeySql } from './stored-key.js';
import { unsettledTokens } from './unsettled-tokens.js';
import { UUID } from './uuid.js';

/** What `postgresIdempotencyStore` takes. @public */
export interface PostgresIdempotencyStoreOptions extends Pick<PostgresNames, 'schema' | 'processedEvents'> {
  /**
   * Who processes, 1 to 200 characters: all processes of one consumer share their keys, and two different ones must not
   * have the same name, or each skips what the other has processed.
   */
  readonly consumer: string;
  /**
   * How long a call may take, the wait for a connection of the pool included, in milliseconds, at least 100. After that
   * the store counts as out, and whoever called tries again. Default: 10,000.
   */
  readonly timeoutMs?: number;
}

const OWNER = 'postgresIdempotencyStore';
const MAX_CONSUMER = 200;
// No claim of ours has it.
const NO_TOKEN = '00000000-0000-0000-0000-000000000000';

/**
 * Remembers processed keys in PostgreSQL 14 or later, for all processes that name the same `consumer`. Each call is one
 * statement and one round trip, however many keys it takes. Leases run by the clock of the server.
 *
 * Keys are any text: empty, of any length (above 512 bytes a SHA-256 digest is stored), with NUL or half a surrogate pair.
 * Processed keys stay until `postgresPurge` removes them.
 *
 * The table is made by `postgresMigrations` or `postgresSchema`. Where it is missing or too old, calls fail with
 * `schema-mismatch`, which names the migration: `dedupe` holds until it is run.
 *
 * ```ts
 * dedupe({ key: (order) => order.id, store: postgresIdempotencyStore(db, { consumer: 'billing' }) })
 * ```
 * @public
 */
export function postgresIdempotencyStore(db: PostgresLike, options: PostgresIdempotencyStoreOptions): IdempotencyStore {
  checkNames(OWNER, options, ['consumer', 'timeoutMs', ...NAME_OPTIONS]);
  const { consumer, timeoutMs = 10_000 } = options;
  checkOptions(
    OWNER,
    { db, consumer, timeoutMs },
    {
      ...CALL_RULES,
      consumer: { required: true, that: { be: `text of 1 to ${MAX_CONSUMER} characters`, holds: isConsumer } },
    },
  );
  const names = resolveNames(OWNER, options);
  const [plain, digesting] = [idempotencySql(names, 'key'), idempotencySql(names, storedKeySql('key'))];
  const sqlFor = (keys: readonly string[]): IdempotencySql => (keys.some(mayBeLong) ? digesting : plain);
  const call = { owner: OWNER, names, table: 'processedEvents' } as const;
  const connections = connectionsOf(db);
  const unsettled = unsettledTokens();

  const run = <R>(statement: string, parameters: readonly unknown[]): Observable<readonly R[]> =>
    runStatement(connections, call, timeoutMs, statement, [consumer, ...parameters]) as Observable<readonly R[]>;

  const onOwned = (
    what: 'renew' | 'confirm' | 'release',
    claims: readonly HeldClaim[],
    parameters: readonly unknown[] = [],
  ): Observable<readonly boolean[]> => {
    if (claims.length === 0) return of([]);
    // In one order: a renewal goes on beside the confirms of the same keys, and would wait for them in a circle.
    const sorted = [...claims].sort(byKey);
    const keys = sorted.map(({ key }) => storedKey(key));
    const tokens = sorted.map(({ token }) => (UUID.test(token) ? token : NO_TOKEN));
    const { oneToken, anyToken } = sqlFor(keys)[what];
    const statement = tokens.every((token) => token === tokens[0]) ? oneToken : anyToken;
    return run<{ readonly n: number }>(statement, [keys, tokens, ...parameters]).pipe(
      map((rows) => {
        if (rows.length === 0) return claims.map(() => true);
        // Of one that is asked twice, only the first is acted on.
        const untouched = new Set(rows.map(({ n }) => sorted[Number(n) - 1]));
        const acted = new Set(sorted.filter((claim) => !untouched.has(claim)).map(idOf));
        return claims.map((claim) => acted.has(idOf(claim)));
      }),
    );
  };

  return {
    claim: (keys, leaseMs) =>
      defer(() => {
        if (keys.length === 0) return of([]);
        const distinct = [...new Set(keys)].sort();
        const stored = distinct.map(storedKey);
        const token = crypto.randomUUID();
        // It may have taken effect all the same: the connection may be lost between the commit and the answer.
        let answered = false;
        const over = (): void => {
          if (!answered) unsettled.add(token, leaseMs);
        };
        return run<Unclaimed>(sqlFor(stored).claim, [stored, token, leaseMs, unsettled.list()]).pipe(
          tap({ next: () => (answered = true), error: over, unsubscribe: over }),
          map((unclaimed) => answersOf(keys, distinct, token, unclaimed)),
        );
      }),
    renew: (claims, leaseMs) => defer(() => onOwned('renew', claims, [leaseMs])),
    confirm: (claims) => defer(() => onOwned('confirm', claims)),
    release: (claims) => defer(() => onOwned('release', claims)),
  };
}

interface Unclaimed {
  /** Which of the distinct keys, from 1. */
  readonly n: number;
  readonly done: boolean;
}

function answersOf(
  keys: readonly string[],
  distinct: readonly string[],
  token: string,
  unclaimed: readonly Unclaimed[],
): Claim[] {
  const claimed: Claim = { status: 'claimed', token };
  if (unclaimed.length === 0 && distinct.length === keys.length) return keys.map(() => claimed);
  const others = new Map(unclaimed.map(({ n, done }) => [distinct[Number(n) - 1], isTrue(done)]));
  const given = new Set<string>();
  return keys.map((key) => {
    const done = others.get(key);
    if (done !== undefined) return { status: done ? 'done' : 'held' };
    if (given.has(key)) return { status: 'held' };
    given.add(key);
    return claimed;
  });
}

function byKey({ key: a }: HeldClaim, { key: b }: HeldClaim): number {
  return a < b ? -1 : 1;
}

function idOf({ token, key }: HeldClaim): string {
  return `${token} ${key}`;
}

function isConsumer(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value.length <= MAX_CONSUMER && isStorableText(value);
}
