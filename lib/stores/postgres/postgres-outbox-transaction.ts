import { EMPTY, type ObservableInput } from 'rxjs';
import { SluiceError } from '../../core/errors.js';
import { permanent } from '../../core/failures.js';
import type { OutboxMessage } from '../../core/outbox-message.js';
import type { OutboxEnd, OutboxPart, OutboxTransaction } from '../../core/outbox-transaction.js';
import { readSafely } from '../../core/read-safely.js';
import { columnsOf } from './outbox-columns.js';
import type { OutboxWriteSql } from './outbox-write-sql.js';
import { sqlStateOf, tooLate, type PostgresCall } from './postgres-errors.js';
import type { PostgresFaults } from './postgres-faults.js';
import type { Loan } from './postgres-lent.js';
import type { OpenTransaction, StatementResult } from './postgres-open-transaction.js';
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
// SET ROLE, SET LOCAL ROLE, SET SESSION AUTHORIZATION, RESET of these, and set_config of them or of a name that is not in the text.
const CHANGES_USER =
  /\b(?:set|local|session|reset)\s+"?(?:role|session_authorization|authorization)\b|\bset_config\s*\(\s*(?:[^'\s]|'(?:role|session_authorization)')/i;
const MAX_SMALL = 4_096;

/** What `withOutbox` does with an open transaction, in statements. @internal */
export function outboxTransaction<Tx>(
  open: OpenTransaction<Tx>,
  consumer: string,
  options: OutboxTransactionOptions,
): OutboxTransaction<Tx> {
  return new PostgresOutboxTransaction(open, storedKey(consumer), consumer, options);
}

// Made once a message, as its parts are: see docs/decisions/0004.
class PostgresOutboxTransaction<Tx> implements OutboxTransaction<Tx> {
  /** There is a savepoint with nothing behind it. */
  fresh = false;
  /** A handler has had it, and may have ended it. */
  lent = false;
  private readonly mark = crypto.randomUUID();
  private recorded: readonly string[] = [];
  private stuck = false;
  private loan: Loan<Tx> | null = null;
  /** The handler may have made itself another user, until the end of the transaction. */
  private otherUser = false;

  constructor(
    readonly open: OpenTransaction<Tx>,
    private readonly storedConsumer: string,
    private readonly consumer: string,
    private readonly options: OutboxTransactionOptions,
  ) {}

  async record(keys: readonly string[]): Promise<readonly boolean[]> {
    const { open, mark, storedConsumer } = this;
    const { sql } = this.options;
    this.recorded = keys;
    const [first] = keys;
    if (first !== undefined && keys.length === 1) {
      const statement = sql.recordOne(storedConsumer, storedKey(first), mark);
      const { count } = await this.inTime(open.beginWith(statement), true);
      return [count === 1];
    }
    const given = [storedConsumer, keys.map(storedKey), mark];
    const { rows } = await this.inTime(open.begin(sql.record, given), true);
    const { known } = rows[0] as { readonly known: string };
    if (known === '') return keys.map(() => true);
    const numbers = new Set(known.split(',').map(Number));
    return keys.map((_, index) => !numbers.has(index + 1));
  }

  begin(alone: boolean): OutboxPart<Tx> {
    return alone ? new Whole(this) : new Part(this);
  }

  async commit({ messages, forget }: OutboxEnd): Promise<void> {
    const { open, mark, lent } = this;
    const { sql, stored } = this.options;
    this.takeBack();
    const [message] = messages;
    const inOneTrip = message !== undefined && messages.length === 1 && isSmall(message);
    // Who has never had the transaction has not ended it.
    let isHere = !lent;
    try {
      const userAgain = this.userAgain();
      if (userAgain !== '') await this.query(userAgain, []);
      if (forget.length > 0) await this.query(sql.forget, [this.storedConsumer, forget.map(storedKey)]);
      if (messages.length > 0 && !inOneTrip) {
        isHere = hereOf(await this.query(sql.append, [mark, ...columnsOf(messages)]));
      }
    } catch (error) {
      await open.rollBack(this.stuck);
      throw error;
    }
    const asks = lent && messages.length === 0;
    try {
      const last = inOneTrip ? sql.appendOne(mark, message) : asks ? sql.mark : null;
      const { rows, count } = await this.inTime(open.commit(last));
      if (inOneTrip) isHere = count === 1;
      else if (asks) isHere = markOf(rows) === mark;
    } catch (error) {
      // What is stuck in its COMMIT is given up; nobody knows what becomes of it.
      if (this.stuck) await open.rollBack(true);
      throw error;
    }
    if (!isHere) {
      // The handler has committed them, and not what it emitted.
      await this.forgetElsewhere();
      throw permanent(transactionEnded());
    }
    if (messages.length > 0) stored();
  }

  rollBack(broken: boolean): Promise<unknown> {
    this.takeBack();
    return this.open.rollBack(broken || this.stuck);
  }

  /** To one handler at a time. */
  lend(): Tx {
    this.lent = true;
    this.loan = this.open.lend(this.before);
    return this.loan.tx;
  }

  /** Keeps the user before a handler changes it: our statements, and those of the next message, run as the user of the pool. */
  private readonly before = (text: string): Promise<unknown> | null => {
    if (this.otherUser || !CHANGES_USER.test(text)) return null;
    this.otherUser = true;
    // Where it fails the handler's does.
    return this.open.query(this.options.sql.keepUser, []).catch(() => undefined);
  };

  /** The statement that makes it the user of the pool again, where it may not be. */
  userAgain(): string {
    const { otherUser } = this;
    this.otherUser = false;
    return otherUser ? this.options.sql.restoreUser : '';
  }

  /** Ends the loan: later statements of the handler are refused; those that it has sent run before ours. */
  takeBack(): void {
    this.loan?.end();
    this.loan = null;
  }

  /** A statement of a part: whoever ended the transaction may have committed keys, and nothing that was emitted. */
  async ofPart(work: Promise<unknown>): Promise<void> {
    try {
      await this.inTime(work);
    } catch (error) {
      if (!hasNoTransaction(error)) throw error;
      await this.forgetHere().catch(() => this.forgetElsewhere());
      throw permanent(transactionEnded());
    }
  }

  /** By its own connection, which may be the only one of the pool. What the handler has begun since goes with the rest. */
  private async forgetHere(): Promise<void> {
    await this.query('ROLLBACK', []);
    await this.query(this.options.sql.forget, [this.storedConsumer, this.recorded.map(storedKey)]);
  }

  private forgetElsewhere(): Promise<unknown> {
    return this.options.forget(this.consumer, this.recorded).catch(() => undefined);
  }

  private query(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    return this.inTime(this.open.query(sql, parameters));
  }

  /** `waits`: for a key, for as long as another transaction has it. The server is there: it has opened the connection. */
  private inTime<R>(work: Promise<R>, waits = false): Promise<R> {
    const { call, faults, timeoutMs } = this.options;
    return new Promise((resolve, fail) => {
      // pg has errors that are no Error.
      const reject = fail as (error: unknown) => void;
      const timer = setTimeout(() => {
        this.stuck = true;
        const late = tooLate(call, timeoutMs);
        reject(waits ? faults.busy(late) : faults.told(late));
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
  }
}

/** The part of a message that shares its transaction. */
class Part<Tx> implements OutboxPart<Tx> {
  private handed: { readonly tx: Tx } | null = null;

  constructor(private readonly whole: PostgresOutboxTransaction<Tx>) {}

  get tx(): Tx {
    const { whole } = this;
    if (this.handed === null) {
      // Not awaited: the handler's first statement waits behind it, and fails if it does.
      if (!whole.fresh) whole.open.savepoint(SAVEPOINT, false).catch(() => undefined);
      whole.fresh = false;
      this.handed = { tx: whole.lend() };
    }
    return this.handed.tx;
  }

  undo(): Promise<void> {
    return this.end(() => {
      // With the savepoint go the settings that were made since.
      this.whole.userAgain();
      return this.whole.open.undo(SAVEPOINT);
    });
  }

  keep(): ObservableInput<unknown> {
    return this.handed === null
      ? EMPTY
      : this.end(() => this.whole.open.savepoint(SAVEPOINT, true, this.whole.userAgain()));
  }

  private async end(statement: () => Promise<unknown>): Promise<void> {
    const { whole } = this;
    if (this.handed === null) return;
    whole.takeBack();
    await whole.ofPart(statement());
    whole.fresh = true;
  }
}

/** The part of a message that is alone in its transaction. */
class Whole<Tx> implements OutboxPart<Tx> {
  private handed: { readonly tx: Tx } | null = null;

  constructor(private readonly whole: PostgresOutboxTransaction<Tx>) {}

  get tx(): Tx {
    return (this.handed ??= { tx: this.whole.lend() }).tx;
  }

  undo(): ObservableInput<unknown> {
    return EMPTY;
  }

  keep(): ObservableInput<unknown> {
    return EMPTY;
  }
}

/** Written out in the statement it is twice as long. */
function isSmall({ key, value, headers }: OutboxMessage): boolean {
  return headers === undefined && (key?.length ?? 0) + (value?.length ?? 0) <= MAX_SMALL;
}

/** Savepoints are for transactions: there is none any more. */
function hasNoTransaction(error: unknown): boolean {
  const cause = readSafely(error, 'cause');
  return sqlStateOf(cause) === '25P01' || sqlStateOf(cause) === '3B001';
}

function hereOf({ rows: [row] }: StatementResult): boolean {
  return isTrue((row as { readonly here?: boolean } | undefined)?.here);
}

function markOf([row]: readonly unknown[]): unknown {
  return Object.values((row ?? {}) as Readonly<Record<string, unknown>>)[0];
}

function transactionEnded(): SluiceError {
  return new SluiceError(
    'transaction-ended',
    'withOutbox: the handler has committed or rolled back its transaction itself, so what it wrote and what it emitted ' +
      'are no longer one. Nothing that it emitted is stored. Leave the end of `tx` to withOutbox.',
  );
}
