import { SluiceError } from '../../core/errors.js';
import { permanent } from '../../core/failures.js';
import type { OutboxMessage } from '../../core/outbox-message.js';
import { ownMessage, type Refuse } from '../../core/own-message.js';
import { readSafely } from '../../core/read-safely.js';
import { columnsOf } from './outbox-columns.js';
import type { OutboxWriteSql } from './outbox-write-sql.js';
import { isKysely, type PostgresClientLike } from './postgres-client.js';
import { execute } from './postgres-kysely-connection.js';
import type { PostgresFaults } from './postgres-faults.js';
import { isTrue } from './postgres-values.js';

type Run = (sql: string, parameters: unknown[]) => Promise<readonly unknown[]>;

// The same for all, as the calls that somebody makes at once in one transaction set it over one another. It ends with the transaction.
const MARK = 'open';
// By kysely, which sends nothing then.
const ENDED = /^Transaction is already (committed|rolled back)$/;

/** Stores messages in a transaction that is somebody else's. @internal */
export function outboxEmit(
  owner: string,
  sql: OutboxWriteSql,
  faults: PostgresFaults,
): (tx: unknown, messages: OutboxMessage | readonly OutboxMessage[]) => Promise<void> {
  return async (tx, messages) => {
    const given: readonly unknown[] = Array.isArray(messages) ? messages : [messages];
    const columns = columnsOf(given.map((message, index) => ownMessage(message, refusing(owner, index))));
    const run = runOf(owner, tx);
    if (given.length === 0) return;
    const append = async (): Promise<boolean> => {
      const [row] = await run(sql.appendHere, [MARK, ...columns]);
      return isTrue((row as { readonly here?: unknown } | undefined)?.here);
    };
    try {
      if (await append()) return;
      // Nothing is written in it yet, or it is none at all: then the mark is gone again at once.
      await run(sql.markHere, [MARK]);
      if (await append()) return;
    } catch (error) {
      throw ENDED.test(String(readSafely(error, 'message'))) ? noTransaction(owner) : faults.told(error);
    }
    throw noTransaction(owner);
  };
}

function runOf(owner: string, tx: unknown): Run {
  if (isKysely(tx)) {
    const executor = tx.withoutPlugins();
    return (text, parameters) => execute(executor, text, parameters);
  }
  const client = (tx ?? {}) as Partial<PostgresClientLike>;
  if (typeof client.query !== 'function') {
    throw new SluiceError('invalid-options', `${owner}: emit: tx must be a Transaction of kysely or a client of pg.`, {
      details: { owner, option: 'tx' },
    });
  }
  return async (text, parameters) => (await (client as PostgresClientLike).query(text, parameters)).rows;
}

function refusing(owner: string, index: number): Refuse {
  return (why, cause) => {
    const text = `${owner}: emit, for message ${index}: ${why}.`;
    const behind = cause === undefined ? {} : { cause };
    throw permanent(new SluiceError('invalid-emit', text, { details: { owner, index }, ...behind }));
  };
}

function noTransaction(owner: string): SluiceError {
  return new SluiceError(
    'transaction-ended',
    `${owner}: emit: there is no open transaction on this connection, so nothing is stored. Begin one, and give emit the client ` +
      'or the Transaction that has it, not a Pool or a Kysely.',
    { details: { owner } },
  );
}
