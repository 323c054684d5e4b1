import { qualified, quoted, type ResolvedNames } from './postgres-names.js';
import { laneSql } from './postgres-schema.js';
import type { PreparedSql } from './postgres-prepared.js';
import { hashOf } from '../../core/hash.js';
import type { OutboxMessage } from '../../core/outbox-message.js';
import { storedHeaders } from './outbox-headers.js';
import { bytesLiteral, literal, storedKeySql, storedLiteral } from './stored-key.js';

/** The statements of a transaction. @internal */
export interface OutboxWriteSql {
  /** `$1` the consumer, `$2` the keys, `$3` the mark → `pid`, `began`, and in `known` the numbers, from 1, of keys that were there. */
  readonly record: string;
  /** The same for one key: acts on a row where it was not there. */
  recordOne(consumer: string, key: string, mark: string): OneStatement;
  /** `$1` the consumer, `$2` the keys: they count as not recorded. */
  readonly forget: string;
  /** `$1` the mark, then a list a column → `here`: whether it is the transaction of the mark; else nothing is stored. */
  readonly append: string;
  /** The same for a transaction of anybody's: where it has written nothing yet, it is known by the mark that `markHere` has set. */
  readonly appendHere: string;
  /** `$1` the mark, which ends with the transaction: outside of one, at once. */
  readonly markHere: string;
  /** The same for one message: acts on a row where it is the transaction of the mark. */
  appendOne(mark: string, message: OutboxMessage): OneStatement;
  /** → the mark of the transaction that is open, as the one column of one row. */
  readonly mark: OneStatement;
  /** Remembers who the user is, until the end of the transaction. */
  readonly keepUser: string;
  /** Makes it that user again. */
  readonly restoreUser: string;
  /** What `execute` needs. */
  readonly prepared: readonly PreparedSql[];
}

/** A statement without parameters, which may go with BEGIN or COMMIT in one round trip. @internal */
export interface OneStatement {
  /** As it is anywhere; one that begins tells `pid` and `began` in its row, and sets the mark. */
  readonly text: string;
  /** The same where `prepared` is; it tells nothing. */
  readonly execute: string;
  /** Sets the mark, in front of one that begins. */
  readonly mark: string;
}

const MARK = 'rxsluice.transaction';
const EMIT_MARK = 'rxsluice.emit';
const USER = ['session_authorization', 'role'] as const;
const WHO = 'pg_backend_pid() AS pid, extract(epoch FROM transaction_timestamp())::text AS began';

/** `channel`: who listens there is told once the transaction is committed. @internal */
export function outboxWriteSql(names: ResolvedNames, channel: string | null): OutboxWriteSql {
  const events = qualified(names, 'processedEvents');
  const outbox = qualified(names, 'outbox');
  const consumer = storedKeySql('$1::text');
  // An upsert, for a claim of dedupe is taken over.
  const recordOne = (
    owner: string,
    key: string,
  ): string => `INSERT INTO ${events} AS p (consumer, event_id, processed_at)
    VALUES (${owner}, ${key}, clock_timestamp())
    ON CONFLICT (consumer, event_id) DO UPDATE SET leased_until = NULL, processed_at = excluded.processed_at
    WHERE p.processed_at IS NULL`;
  const appendOne = (
    mark: string,
    topic: string,
    key: string,
    value: string,
    headers: string,
    partition: string,
    timestamp: string,
  ): string => `INSERT INTO ${outbox} (topic, key, lane, payload, headers, ${quoted('partition')}, timestamp_ms)
    SELECT ${topic}, ${key}, ${laneSql(topic, key)}, ${value}, ${headers}, ${partition}, ${timestamp}
    WHERE current_setting('${MARK}', true) = ${mark}
    RETURNING true AS here${channel === null ? '' : `, pg_notify('${channel}', '')::text AS notified`}`;
  const record = prepared('record', 'text, text', recordOne('$1', '$2'));
  const append = prepared(
    'append',
    'text, text, bytea, bytea, json, int, bigint',
    appendOne('$1', '$2', '$3', '$4', '$5', '$6', '$7'),
  );
  const notified = channel === null ? '' : `, (SELECT pg_notify('${channel}', '')::text FROM here) AS notified`;
  const appendWhere = (isHere: string): string => `WITH here AS MATERIALIZED (
        SELECT WHERE ${isHere}
      ), appended AS (
        INSERT INTO ${outbox} (topic, key, lane, payload, headers, ${quoted('partition')}, timestamp_ms)
        SELECT topic, key, ${laneSql('topic', 'key')}, payload, headers, part, timestamp_ms FROM unnest(
          $2::text[], $3::bytea[], $4::bytea[], $5::json[], $6::int[], $7::bigint[]
        ) WITH ORDINALITY AS m (topic, key, payload, headers, part, timestamp_ms, n)
        WHERE EXISTS (SELECT FROM here) ORDER BY n
      )
      SELECT EXISTS (SELECT FROM here) AS here${notified}`;
  return {
    // An upsert in the order of the keys, for the reasons of the idempotency store; a claim of dedupe is taken over. The
    // mark ends with the transaction, whoever ends it.
    record: `WITH asked AS (
        SELECT ${storedKeySql('key')} AS event_id, n FROM unnest($2::text[]) WITH ORDINALITY AS asked (key, n)
      ), acted AS (
        INSERT INTO ${events} AS p (consumer, event_id, processed_at)
        SELECT ${consumer}, asked.event_id, clock_timestamp() FROM asked ORDER BY asked.event_id
        ON CONFLICT (consumer, event_id) DO UPDATE SET leased_until = NULL, processed_at = excluded.processed_at
        WHERE p.processed_at IS NULL
        RETURNING event_id
      )
      SELECT set_config('${MARK}', $3, true), ${WHO}, (
        SELECT coalesce(string_agg(n::text, ','), '') FROM asked
        WHERE NOT EXISTS (SELECT FROM acted WHERE acted.event_id = asked.event_id)
      ) AS known`,

    // Without parameters it goes with BEGIN, in one round trip.
    recordOne: (consumerText, key, mark) => ({
      text: `${recordOne(storedLiteral(consumerText), storedLiteral(key))}
        RETURNING ${WHO}, set_config('${MARK}', ${literal(mark)}, true)`,
      execute: `EXECUTE ${record.name} (${storedLiteral(consumerText)}, ${storedLiteral(key)})`,
      mark: `SET LOCAL ${MARK} = ${literal(mark)}`,
    }),

    // The row stays, as it does when a claim is released: most often it is recorded in a moment.
    forget: `UPDATE ${events} SET token = NULL, processed_at = NULL, leased_until = '-infinity'
      WHERE consumer = ${consumer} AND event_id = ANY (ARRAY(
        SELECT ${storedKeySql('key')} FROM unnest($2::text[]) AS asked (key)
      ))`,

    append: appendWhere(`current_setting('${MARK}', true) = $1`),
    // A transaction that has written anything has a number; a statement outside of a transaction has none at this point.
    appendHere: appendWhere(
      `pg_current_xact_id_if_assigned() IS NOT NULL OR current_setting('${EMIT_MARK}', true) = $1`,
    ),
    markHere: `SELECT set_config('${EMIT_MARK}', $1, true)`,

    appendOne: (mark, { topic, key, value, headers, partition, timestamp }) => {
      const values = [
        literal(mark),
        `${literal(topic)}::text`,
        bytesLiteral(key),
        bytesLiteral(value),
        `${literal(storedHeaders(headers))}::json`,
        `${whole(partition)}::int`,
        `${whole(timestamp)}::bigint`,
      ] as const;
      return { text: appendOne(...values), execute: `EXECUTE ${append.name} (${values.join(', ')})`, mark: '' };
    },

    keepUser: `SELECT ${USER.map((name) => `set_config('rxsluice.${name}', current_setting('${name}'), true)`).join(', ')}`,
    // Not for the transaction alone: a handler that has left out LOCAL would leave its user to whoever has the connection next. The first
    // sets the second to none. Nothing is kept where the handler has ended the transaction.
    restoreUser: `SELECT ${USER.map(
      (name) =>
        `set_config('${name}', coalesce(nullif(current_setting('rxsluice.${name}', true), ''), current_setting('${name}')), false)`,
    ).join(', ')}`,

    // No plan, no snapshot.
    mark: { text: `SHOW ${MARK}`, execute: `SHOW ${MARK}`, mark: '' },
    prepared: [record, append],
  };
}

function prepared(what: string, types: string, statement: string): PreparedSql {
  const sql = `(${types}) AS ${statement}`;
  return { name: `rxsluice_${what}_${(hashOf(sql) >>> 0).toString(16)}`, sql };
}

function whole(value: number | undefined): string {
  return value === undefined ? 'NULL' : String(Math.trunc(value));
}
