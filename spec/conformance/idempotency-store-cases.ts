import assert from 'node:assert/strict';
import { createHash, randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { defer, firstValueFrom, from, type ObservableInput } from 'rxjs';
import type { Claim, HeldClaim, IdempotencyStore } from '../../lib/index.js';

/** What the author of a store writes to have it checked. */
export interface IdempotencyStoreDriver {
  readonly name: string;
  /** A lease that is surely over when `lapseMs` has passed, and surely holds for one call. */
  readonly shortLeaseMs: number;
  readonly lapseMs: number;
  /** Called at the start of each case: an empty store. */
  open(): Promise<IdempotencyStoreTestBed> | IdempotencyStoreTestBed;
}

/** One case's store. */
export interface IdempotencyStoreTestBed {
  /** Another process of the same consumer; the same object where the store is for one process. */
  worker(): IdempotencyStore;
  close?(): Promise<unknown>;
}

export interface IdempotencyStoreCase {
  readonly name: string;
  readonly run: () => Promise<void>;
}

interface World {
  readonly worker: () => IdempotencyStore;
  readonly shortLeaseMs: number;
  readonly lapse: () => Promise<void>;
}

const LEASE_MS = 60_000;

/** The behaviours that every idempotency store must have, as cases for whatever test runner. */
export function idempotencyStoreCases(driver: IdempotencyStoreDriver): IdempotencyStoreCase[] {
  return Object.entries(cases).map(([name, body]) => ({
    name,
    run: async () => {
      const bed = await driver.open();
      try {
        const { shortLeaseMs, lapseMs } = driver;
        await body({ worker: () => bed.worker(), shortLeaseMs, lapse: () => pause(lapseMs) });
      } finally {
        await bed.close?.();
      }
    },
  }));
}

const cases: Readonly<Record<string, (world: World) => Promise<void>>> = {
  'claims each key once, for all who ask': async ({ worker }) => {
    const [one, other] = [worker(), worker()];
    assert.deepEqual(statuses(await answer(one.claim(['a', 'b', 'a'], LEASE_MS))), ['claimed', 'claimed', 'held']);
    assert.deepEqual(statuses(await answer(other.claim(['c', 'b', 'a'], LEASE_MS))), ['claimed', 'held', 'held']);
  },

  'does nothing before it is subscribed to, and acts for each who subscribes': async ({ worker }) => {
    const store = worker();
    const claim = defer(() => store.claim(['a'], LEASE_MS));
    assert.deepEqual(statuses(await answer(claim)), ['claimed']);
    assert.deepEqual(statuses(await answer(claim)), ['held']);
    const [b] = await claimed(store, ['b']);
    void store.confirm([b]);
    void store.release([b]);
    assert.deepEqual(statuses(await answer(worker().claim(['b'], LEASE_MS))), ['held']);
  },

  'takes no keys for an answer': async ({ worker }) => {
    const store = worker();
    assert.deepEqual(await answer(store.claim([], LEASE_MS)), []);
    assert.deepEqual(await answer(store.renew([], LEASE_MS)), []);
    assert.deepEqual(await answer(store.confirm([])), []);
    await answer(store.release([]));
  },

  'lets one of 100 racing claims win': async ({ worker }) => {
    const workers = Array.from({ length: 10 }, worker);
    const races = Array.from({ length: 100 }, (_, racer) =>
      answer((workers[racer % 10] as IdempotencyStore).claim(['the key'], LEASE_MS)),
    );
    const won = statuses((await Promise.all(races)).flat()).filter((status) => status === 'claimed');
    assert.equal(won.length, 1);
  },

  'gives each key one winner where many claim the same keys in different orders': async ({ worker }) => {
    const keys = names(100);
    const races = Array.from({ length: 20 }, async () => {
      const mine = shuffled(keys);
      const claims = await answer(worker().claim(mine, LEASE_MS));
      return mine.filter((_, index) => claims[index]?.status === 'claimed');
    });
    assert.deepEqual((await Promise.all(races)).flat().sort(), [...keys].sort());
  },

  'says done of what is confirmed, to everybody, also twice in one call': async ({ worker }) => {
    const store = worker();
    const [a] = await claimed(store, ['a']);
    assert.deepEqual(await answer(store.confirm([a])), [true]);
    const asked = await answer(worker().claim(['a', 'b', 'a'], LEASE_MS));
    assert.deepEqual(statuses(asked), ['done', 'claimed', 'done']);
  },

  'answers in the order of the keys, whatever has become of them': async ({ worker }) => {
    const store = worker();
    const keys = names(300);
    const claims = await claimed(store, keys);
    await answer(store.confirm(claims.filter((_, index) => index % 3 === 0)));
    await answer(store.release(claims.filter((_, index) => index % 3 === 1)));
    const expected = keys.map((_, index) => (['done', 'claimed', 'held'] as const)[index % 3]);
    assert.deepEqual(statuses(await answer(worker().claim(keys, LEASE_MS))), expected);
  },

  'lets what is released be claimed at once, and the old token do nothing any more': async ({ worker }) => {
    const [one, other] = [worker(), worker()];
    const [released] = await claimed(one, ['a']);
    await answer(one.release([released]));
    assert.deepEqual(await answer(one.confirm([released])), [false]);
    const [taken] = await claimed(other, ['a']);
    assert.notEqual(taken.token, released.token);
    await answer(one.release([released]));
    assert.deepEqual(await answer(one.renew([released], LEASE_MS)), [false]);
    assert.deepEqual(await answer(one.confirm([released])), [false]);
    assert.deepEqual(statuses(await answer(one.claim(['a'], LEASE_MS))), ['held']);
    assert.deepEqual(await answer(other.confirm([taken])), [true]);
  },

  'lets a lapsed claim be taken, and fences the one who had it': async ({ worker, shortLeaseMs, lapse }) => {
    const [one, other] = [worker(), worker()];
    const [lapsed] = await claimed(one, ['a'], shortLeaseMs);
    await lapse();
    const [taken] = await claimed(other, ['a']);
    assert.notEqual(taken.token, lapsed.token);
    assert.deepEqual(await answer(one.renew([lapsed], LEASE_MS)), [false]);
    assert.deepEqual(await answer(one.confirm([lapsed])), [false]);
    await answer(one.release([lapsed]));
    assert.deepEqual(statuses(await answer(one.claim(['a'], LEASE_MS))), ['held']);
    assert.deepEqual(await answer(other.confirm([taken])), [true]);
    assert.deepEqual(statuses(await answer(one.claim(['a'], LEASE_MS))), ['done']);
  },

  'confirms a lapsed claim that nobody has taken': async ({ worker, shortLeaseMs, lapse }) => {
    const store = worker();
    const [lapsed] = await claimed(store, ['a'], shortLeaseMs);
    await lapse();
    assert.deepEqual(await answer(store.confirm([lapsed])), [true]);
    assert.deepEqual(statuses(await answer(worker().claim(['a'], LEASE_MS))), ['done']);
  },

  'prolongs a claim by renew': async ({ worker, shortLeaseMs, lapse }) => {
    const store = worker();
    const [renewed, left] = await claimed(store, ['renewed', 'left'], shortLeaseMs);
    assert.deepEqual(await answer(store.renew([renewed], LEASE_MS)), [true]);
    await lapse();
    const asked = await answer(worker().claim(['renewed', 'left'], LEASE_MS));
    assert.deepEqual(statuses(asked), ['held', 'claimed']);
    assert.deepEqual(await answer(store.confirm([left, renewed])), [false, true]);
  },

  'does not renew what is confirmed': async ({ worker }) => {
    const store = worker();
    const [a] = await claimed(store, ['a']);
    await answer(store.confirm([a]));
    assert.deepEqual(await answer(store.renew([a], LEASE_MS)), [false]);
    await answer(store.release([a]));
    assert.deepEqual(statuses(await answer(store.claim(['a'], LEASE_MS))), ['done']);
  },

  'takes a token that it never gave for no token': async ({ worker }) => {
    const store = worker();
    const [a, b] = await claimed(store, ['a', 'b']);
    const foreign = [
      { key: 'a', token: 'never given' },
      { key: 'a', token: '' },
      { key: 'unknown', token: a.token },
      { key: 'unknown', token: '00000000-0000-4000-8000-000000000000' },
    ];
    assert.deepEqual(await answer(store.renew(foreign, LEASE_MS)), [false, false, false, false]);
    assert.deepEqual(await answer(store.confirm(foreign)), [false, false, false, false]);
    await answer(store.release(foreign));
    assert.deepEqual(await answer(store.confirm([a, b])), [true, true]);
    assert.deepEqual(statuses(await answer(store.claim(['unknown'], LEASE_MS))), ['claimed']);
  },

  'takes 10,000 keys in one call': async ({ worker }) => {
    const [store, keys] = [worker(), names(10_000)];
    const claims = await claimed(store, keys);
    assert.ok((await answer(store.renew(claims, LEASE_MS))).every(Boolean));
    assert.ok((await answer(store.confirm(claims))).every(Boolean));
    const again = statuses(await answer(worker().claim(keys, LEASE_MS)));
    assert.deepEqual(new Set(again), new Set(['done']));
  },

  'tells any two keys apart, whatever is in them': async ({ worker }) => {
    const long = 'x'.repeat(10_000);
    const digest = createHash('sha256').update(long).digest('hex');
    const keys = [
      ...['', ' ', '  ', 'a', 'A', 'a ', '\t', '\n', '\r', '0', 'null', 'NULL', '{}', '{a,b}', '"', "'", '$1', ','],
      ...['\0', '\0\0', 'a\0', 'a\0b', 'a\0c', '\\0', '\\u0000', '\\', '\\\\', '\\\\\\', '\\#', '\u0001', '\u007f'],
      ...['\ud800', '\ud801', '\udc00', '\udc00\ud800', '\ud800\udc00', '\ufffd', '\\ud800', 'é', 'e\u0301', '😀'],
      ...[long, `${long.slice(1)}y`, `${long}x`, digest, `\\#${digest}`, `#${digest}`, `${long}\0`, `${long}\ud800`],
      ...[511, 512, 513].flatMap((length) => ['k'.repeat(length), '\\'.repeat(length), 'é'.repeat(length)]),
    ];
    assert.equal(new Set(keys).size, keys.length);
    const store = worker();
    const claims = await claimed(store, keys);
    assert.deepEqual(new Set(statuses(await answer(worker().claim(keys, LEASE_MS)))), new Set(['held']));
    for (const [index, claim] of claims.entries()) {
      assert.deepEqual(await answer(store.confirm([claim])), [true]);
      const expected = keys.map((_, other) => (other <= index ? 'done' : 'held'));
      assert.deepEqual(statuses(await answer(store.claim(keys, LEASE_MS))), expected);
    }
  },

  'lets each key be confirmed once, however many workers lapse and race': async ({ worker, shortLeaseMs }) => {
    const keys = names(60);
    const confirmed = new Map<string, number>();
    const work = async (store: IdempotencyStore): Promise<void> => {
      while (confirmed.size < keys.length) {
        const mine = shuffled(keys).slice(0, 25);
        const claims = heldOf(mine, await answer(store.claim(mine, randomInt(1, shortLeaseMs))));
        await pause(randomInt(1, shortLeaseMs));
        const keep = claims.filter(() => randomInt(4) > 0);
        const answers = await answer(store.confirm(keep));
        keep.forEach(({ key }, index) => {
          if (answers[index]) confirmed.set(key, (confirmed.get(key) ?? 0) + 1);
        });
        await answer(store.release(claims.filter((claim) => !keep.includes(claim))));
      }
    };
    await Promise.all(Array.from({ length: 8 }, () => work(worker())));
    assert.deepEqual(
      [...confirmed].filter(([, times]) => times !== 1),
      [],
    );
    assert.deepEqual(new Set(statuses(await answer(worker().claim(keys, LEASE_MS)))), new Set(['done']));
  },
};

function answer<T>(input: ObservableInput<T>): Promise<T> {
  return firstValueFrom(from(input));
}

function statuses(claims: readonly Claim[]): Claim['status'][] {
  return claims.map(({ status }) => status);
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `key-${index}`);
}

function heldOf(keys: readonly string[], claims: readonly Claim[]): HeldClaim[] {
  return claims.flatMap((claim, index) =>
    claim.status === 'claimed' ? [{ key: keys[index] as string, token: claim.token }] : [],
  );
}

/** Claims keys that are all free. */
async function claimed<K extends readonly string[]>(
  store: IdempotencyStore,
  keys: readonly [...K],
  leaseMs = LEASE_MS,
): Promise<{ [I in keyof K]: HeldClaim }> {
  const claims = heldOf(keys, await answer(store.claim(keys, leaseMs)));
  assert.equal(claims.length, keys.length, 'a key that is free was not claimed');
  return claims as { [I in keyof K]: HeldClaim };
}

function shuffled<T>(items: readonly T[]): T[] {
  const mixed = [...items];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [mixed[last], mixed[other]] = [mixed[other] as T, mixed[last] as T];
  }
  return mixed;
}
