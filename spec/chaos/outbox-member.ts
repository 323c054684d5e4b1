// A consumer or a relay in a process of its own, to be killed: by others at any time, or by itself at a named point.
import { Kafka, logLevel } from 'kafkajs';
import { openSync, writeSync } from 'node:fs';
import { Pool } from 'pg';
import { defer, from, map, mergeMap, type Observable, type ObservableInput } from 'rxjs';
import {
  ackEach,
  dedupe,
  fromOutbox,
  handle,
  ordered,
  publishTo,
  topicPublisher,
  withOutbox,
  type IdempotencyStore,
  type Message,
  type OutboxStore,
  type OutboxTransaction,
  type Publisher,
} from '../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../lib/kafka.js';
import { postgresIdempotencyStore, postgresOutboxStore } from '../../lib/postgres.js';

/** What a member is told, as JSON in its arguments. */
export interface OutboxMemberSettings {
  readonly role: 'consumer' | 'relay' | 'deduper';
  readonly brokers: string[];
  readonly input: string;
  readonly output: string;
  readonly groupId: string;
  readonly url: string;
  readonly schema: string;
  readonly file: string;
}

const settings = JSON.parse(process.argv[2] as string) as OutboxMemberSettings;
const { role, brokers, input, output, groupId, url, schema, file } = settings;
const log = openSync(file, 'a');
const say = (text: string): void => void writeSync(log, `${process.pid} ${text}\n`);
const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
const pool = new Pool({ connectionString: url, max: 10, connectionTimeoutMillis: 5_000 });
pool.on('error', () => undefined);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

// RXSLUICE_FAULT=committing:7 ends this process when it comes to that point for the 7th time.
const [point, times = '1'] = (process.env['RXSLUICE_FAULT'] ?? '').split(':');
let left = Number(times);
function passes(name: string): void {
  if (name !== point || --left > 0) return;
  say(`killed at ${name}`);
  process.kill(process.pid, 'SIGKILL');
}

function around<R>(before: string, after: string, call: () => ObservableInput<R>): Observable<R> {
  return defer(() => {
    passes(before);
    return from(call());
  }).pipe(
    map((answer) => {
      passes(after);
      return answer;
    }),
  );
}

function faultyStore<Tx>(store: OutboxStore<Tx>): OutboxStore<Tx> {
  const faulty = (inner: OutboxTransaction<Tx>): OutboxTransaction<Tx> => ({
    record: (keys) => around('begun', 'recorded', () => inner.record(keys)),
    begin: (alone) => inner.begin(alone),
    // Its one answer may be none.
    commit: (end) =>
      defer(() => {
        passes('committing');
        return new Promise<void>((resolve, reject) => {
          from(inner.commit(end)).subscribe({
            error: reject,
            complete: () => {
              passes('committed');
              resolve();
            },
          });
        });
      }),
    rollBack: (broken) => inner.rollBack(broken),
  });
  return {
    ...store,
    transaction: (consumer) => store.transaction(consumer).pipe(map(faulty)),
    claim: (options) => around('claiming', 'claimed', () => store.claim(options)),
    published: (leases) => around('marking', 'marked', () => store.published(leases)),
  };
}

function faultyPublisher<M>(publisher: Publisher<M>): Publisher<M> {
  return {
    connect: () =>
      publisher.connect().pipe(
        map((connection) => ({
          publish: (messages) => around('publishing', 'published', () => connection.publish(messages)),
        })),
      ),
  };
}

function loggedStore(store: IdempotencyStore): IdempotencyStore {
  return {
    ...store,
    claim: (keys, leaseMs) => around('claiming', 'claimed', () => store.claim(keys, leaseMs)),
    confirm: (claims) =>
      around('confirming', 'confirmed', () =>
        defer(() => store.confirm(claims)).pipe(
          map((answers) => {
            claims.forEach(({ key }, index) => answers[index] && say(`confirmed ${key}`));
            return answers;
          }),
        ),
      ),
  };
}

const source = fromKafka(kafka, {
  groupId,
  topics: [input],
  stop: stop.signal,
  sessionTimeoutMs: 6_000,
  heartbeatIntervalMs: 1_000,
  drainTimeoutMs: 3_000,
});

const effect = (id: string): [string, string[]] => [`INSERT INTO ${schema}.effects (id) VALUES ($1)`, [id]];
const text = (value: Uint8Array | null): string => new TextDecoder().decode(value ?? undefined);

const roles: Readonly<Record<OutboxMemberSettings['role'], () => Observable<unknown>>> = {
  consumer: () =>
    source.pipe(
      ordered({ by: 'key' }),
      withOutbox(
        faultyStore(postgresOutboxStore(pool, { schema, timeoutMs: 3_000 })),
        async (value, { tx, emit, delivery }) => {
          passes('handling');
          await tx.query(...effect(text(value)));
          const message: Message = { value, key: delivery.key };
          emit({ ...message, topic: output });
          passes('handled');
        },
        { group: 8, concurrency: 4 },
      ),
    ),
  relay: () =>
    fromOutbox(faultyStore(postgresOutboxStore(pool, { schema, timeoutMs: 3_000 })), {
      leaseMs: 3_000,
      stop: stop.signal,
    }).pipe(
      publishTo(faultyPublisher(topicPublisher((topic) => kafkaPublisher(kafka, { topic })))),
      mergeMap((delivery) => {
        passes('acking');
        return [delivery];
      }),
      ackEach(),
    ),
  deduper: () =>
    source.pipe(
      ordered({ by: 'key' }),
      dedupe({
        key: (value) => text(value),
        store: loggedStore(postgresIdempotencyStore(pool, { schema, consumer: 'chaos', timeoutMs: 3_000 })),
        leaseMs: 3_000,
      }),
      handle(
        async (value) => {
          passes('handling');
          await pool.query(...effect(text(value)));
          say(`effect ${text(value)}`);
          passes('handled');
        },
        { concurrency: 8 },
      ),
      ackEach(),
    ),
};

roles[role]().subscribe({
  error: (error: unknown) => {
    say(`error ${String(error)}`);
    process.exit(1);
  },
  complete: () => void pool.end(),
});
