import { defer, EMPTY } from 'rxjs';
import { SluiceError } from '../../core/errors.js';
import { permanent } from '../../core/failures.js';
import type { OutboxMessage } from '../../core/outbox-message.js';
import type { OutboxEnd, OutboxPart, OutboxTransaction } from '../../core/outbox-transaction.js';
import { storedHeaders } from './outbox-headers.js';
import type { OutboxWriteSql } from './outbox-write-sql.js';
import { sqlStateOf, tooLate, type PostgresCall } from './postgres-errors.js';
import type { PostgresFaults } from './postgres-faults.js';
import type { OpenTransaction } from './postgres-open-transaction.js';
import { isTrue } from './postgres-values.js';
import { storedKey } from './stored-key.js';

/** @internal */
export interface OutboxTransactionOptions {
  readonly call: PostgresCall;
  readonly sql: OutboxWriteSql;
  readonly faults: PostgresFaults;
  readonly timeoutMs: number;
  /** Makes keys count as not recorded, in a transaction of its own. */
  forget(consumer: string, keys: readonly string[]): Promise<unknown>;
  /** Messages were stored and committed. */
  stored(): void;
}

const SAVEPOINT = 'rxsluice';
const MAX_SMALL = 4_096;

/** What `withOutbox` does with an open transaction, in statements. @internal */
export function outboxTransaction<Tx>(
  open: OpenTransaction<Tx>,
  consumer: string,
  { call, sql, faults, timeoutMs, forget, stored }: OutboxTransactionOptions,
): OutboxTransaction<Tx> {
  const mark = crypto.randomUUID();
  const recorded: string[] = [];
  // There is a savepoint with nothing behind it.
  let fresh = false;
  let stuck = false;
  let lent = false;
  let ended = false;

  const inTime = <R>(work: Promise<R>, late: () => unknown = () => faults.told(tooLate(call, timeoutMs))): Promise<R> =>
    new Promise((resolve, fail) => {
      // pg has errors that are no Error.
      const reject = fail as (error: unknown) => void;
      const timer = setTimeout(() => {
        stuck = true;
        reject(late());
      }, timeoutMs);
      work.then(
        (result) => {
          clearTimeout(timer);
          resolve(result);
        },
        (error: unknown) => {
          clearTimeout(timer);
          reject(faults.told(error));
        },
      );
    });

  // The server is there: it has opened the connection. A key waits for as long as another transaction has it.
  const keyTaken = (): unknown => faults.busy(tooLate(call, timeoutMs));

  const part = (): OutboxPart<Tx> => {
    let entered = false;
    let over = false;
    const tx = once(() => open.lend(() => over || ended));
    return {
      get tx() {
        if (!entered) {
          entered = true;
          lent = true;
          // Not awaited: the handler's first statement waits behind it, and fails if it does.
          if (!fresh) open.savepoint(SAVEPOINT, false).catch(() => undefined);
          fresh = false;
        }
        return tx();
      },
      undo: () =>
        defer(async () => {
          over = true;
          if (!entered) return;
          await inTime(open.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`, [])).catch(spoiled);
          fresh = true;
        }),
      keep: () =>
        entered
          ? defer(async () => {
              over = true;
              await inTime(open.savepoint(SAVEPOINT, true)).catch(spoiled);
              fresh = true;
            })
          : EMPTY,
    };
  };

  /** Whoever ended the transaction may have committed it: keys that were recorded, and nothing that was emitted. */
  const spoiled = async (error: unknown): Promise<never> => {
    if (!hasNoTransaction(error)) throw error;
    await forgetHere().catch(() => forget(consumer, recorded).catch(() => undefined));
    throw permanent(transactionEnded());
  };

  /** By its own connection, which may be the only one of the pool. What the handler has begun since goes with the rest. */
  const forgetHere = async (): Promise<void> => {
    await inTime(open.query('ROLLBACK', []));
    await inTime(open.query(sql.forget, [storedKey(consumer), recorded.map(storedKey)]));
  };

  const whole = (): OutboxPart<Tx> => {
    const tx = once(() => open.lend(() => ended));
    return {
      get tx() {
        lent = true;
        return tx();
      },
      undo: () => EMPTY,
      keep: () => EMPTY,
    };
  };

  const end = async ({ messages, forget: inVain }: OutboxEnd): Promise<void> => {
    const [message] = messages;
    const inOneTrip = message !== undefined && messages.length === 1 && isSmall(message);
    // Who has never had the transaction has not ended it.
    let isHere = !lent;
    try {
      if (inVain.length > 0) await inTime(open.query(sql.forget, [storedKey(consumer), inVain.map(storedKey)]));
      if (messages.length > 0 && !inOneTrip) {
        isHere = hereOf(await inTime(open.query(sql.append, [mark, ...columnsOf(messages)])));
      }
    } catch (error) {
      await open.rollBack(stuck);
      throw error;
    }
    const asks = lent && messages.length === 0;
    const committed = open.commit(inOneTrip ? sql.appendOne(mark, message) : asks ? sql.mark : null);
    try {
      const rows = await inTime(committed);
      if (inOneTrip) isHere = rows.length === 1;
      else if (asks) isHere = markOf(rows) === mark;
    } catch (error) {
      // What is stuck in its COMMIT is given up; nobody knows what becomes of it.
      if (stuck) await open.rollBack(true);
      throw error;
    }
    if (!isHere) {
      // The handler has committed them, and not what it emitted.
      await forget(consumer, recorded).catch(() => undefined);
      throw permanent(transactionEnded());
    }
    if (messages.length > 0) stored();
  };

  return {
    record: (keys) =>
      defer(async () => {
        recorded.push(...keys);
        const [first] = keys;
        if (first !== undefined && keys.length === 1) {
          const begin = sql.recordOne(storedKey(consumer), storedKey(first), mark);
          return [(await inTime(open.begin(begin, []), keyTaken)).length === 1];
        }
        const given = [storedKey(consumer), keys.map(storedKey), mark];
        const [row] = await inTime(open.begin(sql.record, given), keyTaken);
        const { known } = row as { readonly known: string };
        const numbers = new Set(known === '' ? [] : known.split(',').map(Number));
        return keys.map((_, index) => !numbers.has(index + 1));
      }),
    begin: (alone) => (alone ? whole() : part()),
    commit: (ending) =>
      defer(() => {
        ended = true;
        return end(ending);
      }),
    rollBack: (broken) =>
      defer(() => {
        ended = true;
        return open.rollBack(broken || stuck);
      }),
  };
}

function once<R>(make: () => R): () => R {
  let made: { readonly value: R } | null = null;
  return () => (made ??= { value: make() }).value;
}

/** Written out in the statement it is twice as long. */
function isSmall({ key, value, headers }: OutboxMessage): boolean {
  return headers === undefined && (key?.length ?? 0) + (value?.length ?? 0) <= MAX_SMALL;
}

/** Savepoints are for transactions: there is none any more. */
function hasNoTransaction(error: unknown): boolean {
  const { cause } = error as { readonly cause?: unknown };
  return sqlStateOf(cause) === '25P01' || sqlStateOf(cause) === '3B001';
}

function hereOf([row]: readonly unknown[]): boolean {
  return isTrue((row as { readonly here?: boolean } | undefined)?.here);
}

function markOf([row]: readonly unknown[]): unknown {
  return Object.values((row ?? {}) as Readonly<Record<string, unknown>>)[0];
}

function columnsOf(messages: readonly OutboxMessage[]): readonly unknown[][] {
  return [
    messages.map(({ topic }) => topic),
    messages.map(({ key }) => bytesOf(key)),
    messages.map(({ value }) => bytesOf(value)),
    messages.map(({ headers }) => storedHeaders(headers)),
    messages.map(({ partition }) => partition ?? null),
    messages.map(({ timestamp }) => timestamp ?? null),
  ];
}

function bytesOf(value: Uint8Array | string | null | undefined): Buffer | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return Buffer.from(value);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function transactionEnded(): SluiceError {
  return new SluiceError(
    'transaction-ended',
    'withOutbox: the handler has committed or rolled back its transaction itself, so what it wrote and what it emitted ' +
      'are no longer one. Nothing that it emitted is stored. Leave the end of `tx` to withOutbox.',
  );
}
