import { describe, expect, it } from '@jest/globals';
import { from, lastValueFrom, toArray } from 'rxjs';
import {
  ackEach,
  fromOutbox,
  retryToDlq,
  withOutbox,
  type OutboxMessage,
  type OutboxRow,
  type OutboxStore,
} from 'rxsluice';
import { fromMemory, memoryBroker, memoryOutboxStore, memoryPublisher } from 'rxsluice/memory';
import { postgresOutboxStore } from 'rxsluice/postgres';
import { describePostgres } from '../servers/describe-postgres.js';
import { newSchema, send, textOf } from '../support/outbox-processing.js';
import { REFUSED_MESSAGES } from '../support/refused-messages.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

class Event {
  constructor(private readonly id: string) {}
  get topic(): string {
    return 'out';
  }
  get value(): string {
    return `of ${this.id}`;
  }
}

/** Every store takes these messages; the last element is what it gives back where that is not the same. */
const TAKEN: readonly (readonly [string, OutboxMessage, Partial<OutboxMessage>?])[] = [
  ['NUL in key and value', { topic: 'out', key: 'a\0b', value: '\0' }],
  // As everywhere where text is encoded as UTF-8.
  [
    'half of a surrogate pair in key and value',
    { topic: 'out', key: '\ud800', value: '\udfff' },
    { key: '\ufffd', value: '\ufffd' },
  ],
  ['any text in headers', { topic: 'out', value: null, headers: { a: 'é\0\ud800', '': 'x', ['__proto__']: 'y' } }],
  [
    'headers that are bytes and lists',
    { topic: 'out', value: '', headers: { a: bytes('b'), many: ['x', bytes('y')] } },
  ],
  ['the largest numbers', { topic: 'out', value: '', partition: 2 ** 31 - 1, timestamp: Number.MAX_SAFE_INTEGER }],
  ['an object of a class', new Event('a'), { topic: 'out', value: 'of a' }],
];

type Emit = (message: OutboxMessage) => void;

/** Four messages in one transaction; the second emits what is given. */
async function emitOne(store: OutboxStore<unknown>, emitIt: (emit: Emit) => void) {
  const broker = memoryBroker({ topics: { in: {}, dlq: {} } });
  await send(broker, ['a', 'b', 'c', 'd']);
  const reasons: unknown[] = [];
  let runs = 0;
  await lastValueFrom(
    fromMemory(broker, {
      groupId: 'g',
      topics: ['in'],
      until: 'end',
      telemetry: (event) => void (event.type === 'dead-lettered' && reasons.push(event.reason)),
    }).pipe(
      retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dlq' }), maxRetries: 1 }),
      withOutbox(
        store,
        (value, { emit }) => {
          runs++;
          if (textOf(value) === 'b') emitIt(emit);
          else emit({ topic: 'other', value });
        },
        { group: 4, concurrency: 1 },
      ),
      toArray(),
    ),
  );
  return { reasons, runs };
}

const relayed = async (store: OutboxStore<unknown>): Promise<OutboxMessage[]> =>
  (await lastValueFrom(fromOutbox(store, { until: 'end' }).pipe(ackEach(), toArray()))).filter(
    ({ topic }) => topic !== 'other',
  );

/** In one form, whether it is bytes or text by now. */
function plain({ topic, key, value, headers, partition, timestamp }: OutboxMessage): unknown {
  const shown = (each: unknown): unknown => (each instanceof Uint8Array ? textOf(each) : each);
  const pairs = Object.entries(headers ?? {}).flatMap(([name, given]) =>
    name === 'message-id' ? [] : [[name, Array.isArray(given) ? given.map(shown) : shown(given)]],
  );
  return { topic, key: shown(key ?? null), value: shown(value), headers: pairs, partition, timestamp };
}

function behaviours(open: () => Promise<OutboxStore<unknown>>): void {
  it.each(REFUSED_MESSAGES)(
    'refuses %s where it is emitted, and commits the others of the group at once',
    async (_, message, why) => {
      const store = await open();
      const { reasons, runs } = await emitOne(store, (emit) => emit(message as OutboxMessage));
      expect(reasons).toHaveLength(1);
      expect(reasons[0]).toMatchObject({ code: 'invalid-emit', message: expect.stringContaining(why) });
      expect((reasons[0] as Error).message).toMatch(/^withOutbox: emit, for in\/0\/1: /);
      expect(runs).toBe(4);
      expect(await relayed(store)).toEqual([]);
    },
  );

  it.each(TAKEN)('takes %s, and gives it back as it was', async (_, message, got = message) => {
    const store = await open();
    const { reasons } = await emitOne(store, (emit) => emit(message));
    expect(reasons).toEqual([]);
    const expected = { ...message, ...got };
    const [row] = await relayed(store);
    expect(plain(row as OutboxMessage)).toEqual(plain(expected));
  });

  it('stores bytes as they were when they were emitted, however often a buffer is used again', async () => {
    const store = await open();
    const scratch = new Uint8Array(1);
    await emitOne(store, (emit) => {
      for (const letter of 'xyz') {
        scratch.set(bytes(letter));
        emit({ topic: 'out', key: scratch, value: scratch, headers: { one: scratch, many: [scratch, scratch] } });
      }
      scratch.fill(0);
    });
    const rows = await relayed(store);
    expect(rows.map(plain)).toEqual(
      [...'xyz'].map((each) =>
        plain({ topic: 'out', key: each, value: each, headers: { one: each, many: [each, each] } }),
      ),
    );
  });

  it('gives each claim bytes of its own', async () => {
    const store = await open();
    await emitOne(store, (emit) =>
      emit({ topic: 'out', key: bytes('k'), value: bytes('v'), headers: { h: bytes('h') } }),
    );
    for (let round = 0; round < 2; round++) {
      const rows = await lastValueFrom(from(store.claim(CLAIM)));
      const row = rows.find(({ topic }) => topic === 'out') as OutboxRow;
      const given = [row.key, row.value, row.headers['h']] as Uint8Array[];
      expect(given.map(textOf)).toEqual(['k', 'v', 'h']);
      for (const each of given) each.fill(0);
      await lastValueFrom(from(store.release(rows.map((each) => ({ ...each, attempts: 0 })))), {
        defaultValue: null,
      });
    }
  });

  it('keeps tx in a copy of the context', async () => {
    const store = await open();
    const kinds: unknown[] = [];
    const broker = memoryBroker({ topics: { in: {} } });
    await send(broker, ['a']);
    await lastValueFrom(
      fromMemory(broker, { groupId: 'g', topics: ['in'], until: 'end' }).pipe(
        withOutbox(store, (_, context) => {
          const { tx, emit, delivery, ...others } = { ...context, user: 1 };
          kinds.push([typeof tx, typeof emit, delivery.id, others]);
        }),
      ),
      { defaultValue: null },
    );
    expect(kinds).toEqual([['object', 'function', 'in/0/0', { user: 1 }]]);
  });
}

const CLAIM = { limit: 10, perLane: 10, maxBytes: 1e6, leaseMs: 60_000 };

describe('what withOutbox emits, stored in memory', () => {
  behaviours(() => Promise.resolve(memoryOutboxStore() as OutboxStore<unknown>));
});

describePostgres('what withOutbox emits, stored in Postgres by a pool', (postgres) => {
  behaviours(async () => postgresOutboxStore(postgres().newPool(), { schema: await newSchema(postgres()) }));
});

describePostgres('what withOutbox emits, stored in Postgres by a kysely', (postgres) => {
  behaviours(async () => {
    const db = postgres().newKysely<unknown>();
    return postgresOutboxStore(db, { schema: await newSchema(postgres()) });
  });
});
