import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { defer, firstValueFrom, lastValueFrom, type ObservableInput } from 'rxjs';
import type { OutboxMessage, OutboxReturn, OutboxRow, OutboxStore, OutboxTransaction } from '../../lib/index.js';

/** What the author of a store writes to have it checked. */
export interface OutboxStoreDriver<Tx> {
  readonly name: string;
  /** A lease that is surely over when `lapseMs` has passed, and surely holds for one call. */
  readonly shortLeaseMs: number;
  readonly lapseMs: number;
  /** Called at the start of each case: an empty store. */
  open(): Promise<OutboxStoreTestBed<Tx>> | OutboxStoreTestBed<Tx>;
}

/** One case's store. */
export interface OutboxStoreTestBed<Tx> {
  /** Another process; the same object where the store is for one process. */
  worker(): OutboxStore<Tx>;
  /** What a handler does: it leaves a name behind. */
  write(tx: Tx, name: string): unknown;
  /** The names that are left. */
  written(): Promise<readonly string[]> | readonly string[];
  close?(): Promise<unknown>;
}

export interface OutboxStoreCase {
  readonly name: string;
  readonly run: () => Promise<void>;
}

interface World<Tx = unknown> extends OutboxStoreTestBed<Tx> {
  readonly shortLeaseMs: number;
  readonly lapse: () => Promise<void>;
}

const LEASE_MS = 60_000;
const ALL = { limit: 1_000, perLane: 1_000, maxBytes: 1e9, leaseMs: LEASE_MS };
const DONE = { messages: [], forget: [] };

/** The behaviours that every outbox store must have, as cases for whatever test runner. */
export function outboxStoreCases<Tx>(driver: OutboxStoreDriver<Tx>): OutboxStoreCase[] {
  return Object.entries(cases).map(([name, body]) => ({
    name,
    run: async () => {
      const bed = (await driver.open()) as unknown as OutboxStoreTestBed<unknown>;
      try {
        await body({
          worker: () => bed.worker(),
          write: (tx, name) => bed.write(tx, name),
          written: () => bed.written(),
          shortLeaseMs: driver.shortLeaseMs,
          lapse: () => pause(driver.lapseMs),
        });
      } finally {
        await bed.close?.();
      }
    },
  }));
}

const cases: Readonly<Record<string, (world: World) => Promise<void>>> = {
  'commits what was written, recorded and stored, all together': async ({ worker, write, written }) => {
    const store = worker();
    const transaction = await begin(store);
    assert.deepEqual(await answer(transaction.record(['a'])), [true]);
    await write(transaction.begin(true).tx, 'a');
    assert.deepEqual(await ids(worker()), []);
    await done(transaction.commit({ messages: [message('k', 'a')], forget: [] }));
    assert.deepEqual(await written(), ['a']);
    assert.deepEqual(await known(store, ['a']), ['a']);
    assert.deepEqual(values(await answer(store.claim(ALL))), ['a']);
  },

  'leaves nothing behind where it rolls back': async ({ worker, write, written }) => {
    for (const broken of [false, true]) {
      const store = worker();
      const transaction = await begin(store);
      await answer(transaction.record(['a']));
      await write(transaction.begin(true).tx, 'a');
      await done(transaction.rollBack(broken));
      assert.deepEqual(await written(), []);
      assert.deepEqual(await known(store, ['a']), []);
      assert.deepEqual(await ids(store), []);
    }
  },

  'does nothing before it is subscribed to': async ({ worker, written }) => {
    const store = worker();
    void store.transaction('c');
    void store.claim(ALL);
    const transaction = await begin(store);
    await answer(transaction.record(['b']));
    await done(transaction.commit({ messages: [message('k', 'b')], forget: [] }));
    assert.deepEqual(await written(), []);
    assert.deepEqual(values(await answer(store.claim(ALL))), ['b']);
  },

  'records keys for each consumer apart': async ({ worker }) => {
    const store = worker();
    await record(store, ['a'], 'one');
    assert.deepEqual(await known(store, ['a'], 'one'), ['a']);
    assert.deepEqual(await known(store, ['a'], 'other'), []);
  },

  'undoes one part, and keeps those beside it': async ({ worker, write, written }) => {
    const store = worker();
    const transaction = await begin(store);
    await answer(transaction.record(['a', 'b', 'c', 'd']));
    await write(transaction.begin(false).tx, 'a');
    const undone = transaction.begin(false);
    await write(undone.tx, 'b1');
    await write(undone.tx, 'b2');
    await done(undone.undo());
    const idle = transaction.begin(false);
    await done(idle.undo());
    await write(transaction.begin(false).tx, 'd');
    await done(transaction.commit({ messages: [message('k', 'a'), message('k', 'd')], forget: ['b', 'c'] }));
    assert.deepEqual(await written(), ['a', 'd']);
    assert.deepEqual(await known(store, ['a', 'b', 'c', 'd']), ['a', 'd']);
    assert.deepEqual(values(await answer(store.claim(ALL))), ['a', 'd']);
  },

  'undoes one part after another, from the first to the last': async ({ worker, write, written }) => {
    const transaction = await begin(worker());
    await answer(transaction.record(['a', 'b', 'c']));
    for (const name of ['a', 'b', 'c']) {
      const part = transaction.begin(false);
      await write(part.tx, name);
      if (name !== 'b') await done(part.undo());
    }
    await done(transaction.commit({ messages: [], forget: ['a', 'c'] }));
    assert.deepEqual(await written(), ['b']);
  },

  'records what was forgotten anew': async ({ worker }) => {
    const store = worker();
    const transaction = await begin(store);
    await answer(transaction.record(['a']));
    await done(transaction.commit({ messages: [], forget: ['a'] }));
    assert.deepEqual(await record(store, ['a', 'b']), [true, true]);
    assert.deepEqual(await record(store, ['a', 'b']), [false, false]);
  },

  'has one of many racing transactions record a key': async ({ worker, write, written }) => {
    const workers = Array.from({ length: 4 }, worker);
    const won = await Promise.all(
      Array.from({ length: 20 }, async (_, racer) => {
        const transaction = await begin(workers[racer % 4] as OutboxStore);
        const [isNew] = await answer(transaction.record(['the key']));
        if (isNew) await write(transaction.begin(true).tx, `by ${racer}`);
        await done(isNew ? transaction.commit(DONE) : transaction.rollBack(false));
        return isNew;
      }),
    );
    assert.equal(won.filter(Boolean).length, 1);
    assert.equal((await written()).length, 1);
  },

  'records a key that waited for a transaction that rolled back': async ({ worker }) => {
    const [one, other] = [await begin(worker()), await begin(worker())];
    assert.deepEqual(await answer(one.record(['a'])), [true]);
    const waiting = answer(other.record(['b', 'a']));
    await pause(50);
    await done(one.rollBack(false));
    assert.deepEqual(await waiting, [true, true]);
    await done(other.commit(DONE));
  },

  'lets transactions that record the same keys in other orders end, all of them': async ({ worker }) => {
    const store = worker();
    const keys = Array.from({ length: 50 }, (_, index) => `key ${index}`);
    const recorded = await Promise.all([keys, [...keys].reverse(), keys].map((each) => record(store, each)));
    assert.equal(recorded.flat().filter(Boolean).length, keys.length);
  },

  'tells any two keys apart, whatever is in them': async ({ worker }) => {
    const store = worker();
    const keys = [
      '',
      ' ',
      'a',
      'A',
      '\0',
      '\\',
      '\\0',
      '\ud800',
      '\udfff',
      '�',
      'x'.repeat(10_000),
      'x'.repeat(10_001),
    ];
    assert.deepEqual(
      await record(store, keys),
      keys.map(() => true),
    );
    assert.deepEqual(
      await record(store, keys),
      keys.map(() => false),
    );
  },

  'leaves no connection behind where nobody waits for the transaction any more': async ({ worker }) => {
    const store = worker();
    for (let round = 0; round < 30; round++) {
      // One that comes at once is ended by who got it.
      store
        .transaction('me')
        .subscribe((transaction) => void done(transaction.rollBack(false)))
        .unsubscribe();
    }
    assert.deepEqual(await record(store, ['a']), [true]);
  },

  'gives back each message as it was stored': async ({ worker }) => {
    const store = worker();
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const messages: OutboxMessage[] = [
      { topic: 'a', value: null },
      { topic: 'a', value: '' },
      { topic: 'a', value: new Uint8Array(0), key: new Uint8Array(0) },
      {
        topic: 'a',
        value: bytes,
        key: bytes,
        headers: { bytes, text: 'é\0\ud800', list: ['a', bytes, 'a'], none: undefined },
      },
      { topic: 'b c "d"', value: 'text', key: 'k', partition: 7, timestamp: 1_700_000_000_123 },
      { topic: 'a', value: new Uint8Array(5_000_000).fill(7), key: 'x'.repeat(10_000), timestamp: 0, partition: 0 },
      { topic: 'a', value: 'x', headers: Object.fromEntries([['__proto__', 'y']]) },
    ];
    await store1(store, ...messages);
    const rows = await answer(store.claim(ALL));
    assert.equal(rows.length, messages.length);
    messages.forEach(({ topic, key = null, value, headers = {}, partition = null, timestamp = null }, index) => {
      const row = rows[index] as OutboxRow;
      assert.deepEqual(row.topic, topic);
      assert.deepEqual(bytesOf(row.value), bytesOf(value));
      assert.deepEqual(bytesOf(row.key), bytesOf(key));
      assert.equal(row.partition, partition);
      assert.equal(row.timestamp, timestamp);
      const given = Object.entries(headers).filter(([, each]) => each !== undefined);
      const got = Object.entries(row.headers).filter(([, each]) => each !== undefined);
      assert.deepEqual(got.map(plain), given.map(plain));
      assert.equal(row.lane === null, key === null);
      assert.equal(row.attempt, 1);
      assert.ok(Math.abs(row.storedAt - Date.now()) < 60_000);
    });
    assert.equal(new Set(rows.map(({ messageId }) => messageId)).size, rows.length);
  },

  'claims each row once, and gives the same row the same id': async ({ worker }) => {
    const store = worker();
    await store1(store, message('a', '1'), message('b', '2'));
    const first = await answer(store.claim(ALL));
    assert.deepEqual(values(first), ['1', '2']);
    assert.deepEqual(await ids(worker()), []);
    await done(store.release(untried(first)));
    const second = await answer(worker().claim(ALL));
    assert.deepEqual(
      second.map(({ id, messageId }) => [id, messageId]),
      first.map(({ id, messageId }) => [id, messageId]),
    );
  },

  'counts attempts by what it is told and by leases that lapse, not by claims': async ({
    worker,
    shortLeaseMs,
    lapse,
  }) => {
    const store = worker();
    await store1(store, message('a', '1'), message('b', '2'));
    const attempts = (rows: readonly OutboxRow[]): number[] => rows.map(({ attempt }) => attempt);
    const first = await answer(store.claim(ALL));
    await done(store.release(untried(first)));
    const second = await answer(worker().claim(ALL));
    await done(store.release(second.map((row, index) => ({ ...row, attempts: 3 * index }))));
    const third = await answer(worker().claim({ ...ALL, leaseMs: shortLeaseMs }));
    await lapse();
    const fourth = await answer(worker().claim(ALL));
    assert.deepEqual([first, second, third, fourth].map(attempts), [
      [1, 1],
      [1, 1],
      [1, 4],
      [2, 5],
    ]);
  },

  'keeps to the limits of a claim, and gives a first row however large it is': async ({ worker }) => {
    const store = worker();
    await store1(store, ...[1, 2, 3, 4, 5].map((n) => message('k', `${n}`)), message('l', 'x'), message(null, 'y'));
    const two = await answer(store.claim({ ...ALL, perLane: 2 }));
    assert.deepEqual(values(two), ['1', '2', 'x', 'y']);
    await done(store.release(untried(two)));
    assert.deepEqual(values(await answer(store.claim({ ...ALL, limit: 3 }))), ['1', '2', '3']);
    const other = worker();
    await store1(other, message('m', 'z'.repeat(5_000)), message('n', 'after'));
    const large = await answer(other.claim({ ...ALL, maxBytes: 1_000 }));
    assert.deepEqual(values(large), ['x', 'y']);
    assert.deepEqual(values(await answer(other.claim({ ...ALL, maxBytes: 1_000 }))), ['z'.repeat(5_000)]);
    assert.deepEqual(values(await answer(other.claim({ ...ALL, maxBytes: 1_000 }))), ['after']);
  },

  'keeps a lane with who has its oldest row': async ({ worker }) => {
    const [one, other] = [worker(), worker()];
    await store1(one, ...[1, 2, 3].map((n) => message('k', `${n}`)));
    const [first, second] = await answer(one.claim({ ...ALL, perLane: 2 }));
    assert.deepEqual(await ids(other), []);
    assert.deepEqual(await answer(one.published([first as OutboxRow])), [true]);
    assert.deepEqual(await ids(other), []);
    await done(one.release(untried([second as OutboxRow])));
    assert.deepEqual(values(await answer(other.claim(ALL))), ['2', '3']);
  },

  'stops a run at a row that is leased': async ({ worker, shortLeaseMs, lapse }) => {
    const [one, other] = [worker(), worker()];
    await store1(one, ...[1, 2, 3, 4].map((n) => message('k', `${n}`)));
    const [, , third] = await answer(one.claim({ ...ALL, leaseMs: shortLeaseMs }));
    await answer(one.renew([third as OutboxRow], LEASE_MS));
    await lapse();
    assert.deepEqual(values(await answer(other.claim(ALL))), ['1', '2']);
  },

  'takes topic and key together for a lane': async ({ worker }) => {
    const store = worker();
    await store1(
      store,
      message('k', '1'),
      { ...message('k', '2'), topic: 'other' },
      message('', '3'),
      message(null, '4'),
    );
    const rows = await answer(store.claim({ ...ALL, perLane: 1 }));
    assert.deepEqual(values(rows), ['1', '2', '3', '4']);
    assert.equal(new Set(rows.map(({ lane }) => lane)).size, 4);
  },

  'gives the rows of a lapsed lease to others, and fences who had it': async ({ worker, shortLeaseMs, lapse }) => {
    const [one, other] = [worker(), worker()];
    await store1(one, message('k', '1'), message('k', '2'));
    const lapsed = await answer(one.claim({ ...ALL, leaseMs: shortLeaseMs }));
    await lapse();
    const taken = await answer(other.claim(ALL));
    assert.deepEqual(values(taken), ['1', '2']);
    assert.deepEqual(await answer(one.renew(lapsed, LEASE_MS)), [false, false]);
    assert.deepEqual(await answer(one.published(lapsed)), [false, false]);
    assert.deepEqual(await answer(one.dead(lapsed.map((row) => ({ ...row, error: 'x' })))), [false, false]);
    await done(one.release(untried(lapsed)));
    assert.deepEqual(await ids(one), []);
    assert.deepEqual(await answer(other.published(taken)), [true, true]);
    assert.deepEqual(await answer(other.published(taken)), [true, true]);
    assert.deepEqual(await ids(one), []);
  },

  'prolongs a lease by renew': async ({ worker, shortLeaseMs, lapse }) => {
    const [one, other] = [worker(), worker()];
    await store1(one, message('k', '1'), message('l', '2'));
    const rows = await answer(one.claim({ ...ALL, leaseMs: shortLeaseMs }));
    assert.deepEqual(await answer(one.renew([rows[0] as OutboxRow], LEASE_MS)), [true]);
    await lapse();
    assert.deepEqual(values(await answer(other.claim(ALL))), ['2']);
  },

  'never claims a dead row, which blocks not even its own lane': async ({ worker }) => {
    const store = worker();
    await store1(store, message('k', '1'), message('k', '2'));
    const [first] = await answer(store.claim({ ...ALL, perLane: 1 }));
    assert.deepEqual(await answer(store.dead([{ ...(first as OutboxRow), error: 'refused\0' }])), [true]);
    const rest = await answer(worker().claim(ALL));
    assert.deepEqual(values(rest), ['2']);
    await done(store.release(untried([first as OutboxRow])));
    await answer(store.published(rest));
    assert.deepEqual(await ids(store), []);
  },

  'takes a lease that it never gave for none': async ({ worker }) => {
    const store = worker();
    await store1(store, message('k', '1'));
    const [row] = (await answer(store.claim(ALL))) as readonly [OutboxRow];
    const foreign = [
      { id: row.id, token: 'never given' },
      { id: '999999', token: row.token },
      { id: row.id, token: '00000000-0000-4000-8000-000000000000' },
    ];
    assert.deepEqual(await answer(store.renew(foreign, LEASE_MS)), [false, false, false]);
    assert.deepEqual(await answer(store.published(foreign)), [false, false, false]);
    await done(store.release(foreign.map((lease) => ({ ...lease, attempts: 7 }))));
    assert.deepEqual(await answer(store.published([row])), [true]);
  },

  'takes nothing for an answer': async ({ worker }) => {
    const store = worker();
    assert.deepEqual(await answer(store.renew([], LEASE_MS)), []);
    assert.deepEqual(await answer(store.published([])), []);
    assert.deepEqual(await answer(store.dead([])), []);
  },

  'claims what was committed late, under a lower id': async ({ worker }) => {
    const [one, other] = [worker(), worker()];
    const late = await begin(one);
    await answer(late.record(['late']));
    // It takes its ids now, and commits after those that take theirs later.
    const committed = done(late.commit({ messages: [message('k', 'late'), message('l', 'late too')], forget: [] }));
    await store1(other, message('k', 'early'));
    const first = await answer(other.claim(ALL));
    await committed;
    const then = await answer(other.claim(ALL));
    await answer(other.published([...first, ...then]));
    const last = await answer(other.claim(ALL));
    assert.deepEqual(values([...first, ...then, ...last]).sort(), ['early', 'late', 'late too']);
  },

  'keeps the order of each lane with four relays that publish at once': async ({ worker }) => {
    const store = worker();
    const lanes = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const total = 700;
    for (let from = 0; from < total; from += 100) {
      await store1(
        store,
        ...Array.from({ length: 100 }, (_, n) => message(lanes[(from + n) % 7] as string, `${from + n}`)),
      );
    }
    const published: string[] = [];
    const relays = Array.from({ length: 4 }, async () => {
      const relay = worker();
      for (let idle = 0; published.length < total && idle < 2_000; idle++) {
        const rows = await answer(relay.claim({ ...ALL, limit: 20, perLane: 5 }));
        for (const row of rows) published.push(values([row])[0] as string);
        if (rows.length > 0) await answer(relay.published(rows));
        else await pause(1);
      }
    });
    await Promise.all(relays);
    assert.equal(new Set(published).size, total);
    assert.equal(published.length, total);
    for (let lane = 0; lane < lanes.length; lane++) {
      const its = published.map(Number).filter((n) => n % 7 === lane);
      assert.deepEqual(
        its,
        [...its].sort((a, b) => a - b),
      );
    }
  },

  'counts what waits, and says how old it is': async ({ worker }) => {
    const store = worker();
    assert.deepEqual(await answer(store.lag()), { rows: 0, more: false, oldestMs: 0 });
    await store1(store, message('k', '1'), message('l', '2'), message('m', '3'));
    await pause(30);
    const [first, second] = await answer(store.claim(ALL));
    await answer(store.published([first as OutboxRow]));
    await answer(store.dead([{ ...(second as OutboxRow), error: 'x' }]));
    const { rows, more, oldestMs } = await answer(store.lag());
    assert.deepEqual({ rows, more }, { rows: 1, more: false });
    assert.ok(oldestMs >= 25 && oldestMs < 60_000, String(oldestMs));
  },

  'wakes who listens in the same process once messages are committed': async ({ worker }) => {
    const store = worker();
    if (store.wakeUps === undefined) return;
    let woken = 0;
    const subscription = store.wakeUps.subscribe(() => woken++);
    const rolledBack = await begin(store);
    await done(rolledBack.rollBack(false));
    const before = woken;
    await store1(store, message('k', '1'));
    assert.ok(woken > before);
    subscription.unsubscribe();
  },

  'does not take an error of the handler for one of its own': async ({ worker }) => {
    const store = worker();
    for (const error of [new Error('mine'), new TypeError('x'), null, undefined, 'text', { code: 'mine' }]) {
      assert.equal(store.faultOf(error), null);
    }
  },
};

let stored = 0;

async function store1(store: OutboxStore, ...messages: readonly OutboxMessage[]): Promise<void> {
  const transaction = await begin(store);
  await answer(transaction.record([`stored ${++stored}`]));
  await done(transaction.commit({ messages, forget: [] }));
}

async function record(store: OutboxStore, keys: readonly string[], consumer?: string): Promise<readonly boolean[]> {
  const transaction = await begin(store, consumer);
  const recorded = await answer(transaction.record(keys));
  await done(transaction.commit(DONE));
  return recorded;
}

/** Which of the keys are recorded. */
async function known(store: OutboxStore, keys: readonly string[], consumer?: string): Promise<readonly string[]> {
  const transaction = await begin(store, consumer);
  const isNew = await answer(transaction.record(keys));
  await done(transaction.rollBack(false));
  return keys.filter((_, index) => !isNew[index]);
}

function begin(store: OutboxStore, consumer = 'me'): Promise<OutboxTransaction<unknown>> {
  return firstValueFrom(store.transaction(consumer));
}

async function ids(store: OutboxStore): Promise<readonly string[]> {
  const rows = await answer(store.claim(ALL));
  if (rows.length > 0) await done(store.release(untried(rows)));
  return rows.map(({ id }) => id);
}

function untried(rows: readonly OutboxRow[]): OutboxReturn[] {
  return rows.map((row) => ({ ...row, attempts: row.attempt - 1 }));
}

function message(key: string | null, value: string): OutboxMessage {
  return { topic: 'out', key, value };
}

function values(rows: readonly OutboxRow[]): string[] {
  return rows.map(({ value }) => new TextDecoder().decode(value as Uint8Array));
}

function bytesOf(value: Uint8Array | string | null): string | null {
  return value === null ? null : Buffer.from(value as Uint8Array).toString('hex');
}

function plain([name, value]: [string, unknown]): unknown {
  const each = (one: unknown): unknown => (one instanceof Uint8Array ? [...one] : one);
  return [name, Array.isArray(value) ? value.map(each) : each(value)];
}

function answer<R>(input: ObservableInput<R>): Promise<R> {
  return firstValueFrom(defer(() => input));
}

function done(input: ObservableInput<unknown>): Promise<unknown> {
  return lastValueFrom(
    defer(() => input),
    { defaultValue: undefined },
  );
}
