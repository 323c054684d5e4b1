import { describe, expect, it } from '@jest/globals';
import { from, type ObservableInput } from 'rxjs';
import { memoryIdempotencyStore } from 'rxsluice/memory';
import { virtually } from '../../core/harness.js';

function answer<T>(input: ObservableInput<T>): T {
  let value: T | undefined;
  let failure: Error | undefined;
  from(input).subscribe({ next: (next) => (value = next), error: (error: Error) => (failure = error) });
  if (failure !== undefined) throw failure;
  return value as T;
}

describe('memoryIdempotencyStore', () => {
  it('claims each key once; a repeat in the same call is held', () =>
    virtually(() => {
      const store = memoryIdempotencyStore();
      expect(answer(store.claim(['a', 'b', 'a'], 100)).map(({ status }) => status)).toEqual([
        'claimed',
        'claimed',
        'held',
      ]);
    }));

  it('remembers what is confirmed, forgets what is released, and lets a lapsed claim be taken', () =>
    virtually(({ advance }) => {
      const store = memoryIdempotencyStore();
      const claims = answer(store.claim(['a', 'b', 'c'], 100)).map((claim, i) => ({
        key: 'abc'[i] as string,
        token: claim.status === 'claimed' ? claim.token : '',
      }));
      const [a, b, c] = claims as [(typeof claims)[0], (typeof claims)[0], (typeof claims)[0]];
      expect(answer(store.confirm([a]))).toEqual([true]);
      answer(store.release([b]));
      advance(100);
      expect(answer(store.claim(['a', 'b', 'c'], 100)).map(({ status }) => status)).toEqual([
        'done',
        'claimed',
        'claimed',
      ]);
      expect(answer(store.confirm([c]))).toEqual([false]);
      expect(answer(store.renew([c], 100))).toEqual([false]);
    }));

  it('prolongs a claim by renew', () =>
    virtually(({ advance }) => {
      const store = memoryIdempotencyStore();
      const [claim] = answer(store.claim(['a'], 100));
      const held = { key: 'a', token: claim?.status === 'claimed' ? claim.token : '' };
      advance(90);
      expect(answer(store.renew([held], 100))).toEqual([true]);
      advance(90);
      expect(answer(store.claim(['a'], 100))).toEqual([{ status: 'held' }]);
    }));

  it('keeps maxKeys processed keys, the newest, and each for retentionMs', () =>
    virtually(({ advance }) => {
      const store = memoryIdempotencyStore({ maxKeys: 3, retentionMs: 1_000 });
      for (const key of ['a', 'b', 'c', 'd']) {
        const [claim] = answer(store.claim([key], 100));
        answer(store.confirm([{ key, token: claim?.status === 'claimed' ? claim.token : '' }]));
      }
      const statuses = (): string[] => answer(store.claim(['b', 'd'], 1)).map(({ status }) => status);
      expect([answer(store.claim(['a'], 1)), statuses()]).toMatchObject([[{ status: 'claimed' }], ['done', 'done']]);
      advance(1_000);
      expect(statuses()).toEqual(['claimed', 'claimed']);
    }));

  it('keeps maxBytes of processed keys, the newest: a thousand of 1 MB each are no gigabyte', () =>
    virtually(() => {
      const store = memoryIdempotencyStore({ maxBytes: 8 * 1024 * 1024 });
      const keyOf = (at: number): string => `${at} `.padEnd(2 ** 20, 'x');
      const done = (key: string): void => {
        const [claim] = answer(store.claim([key], 100));
        if (claim?.status === 'claimed') answer(store.confirm([{ key, token: claim.token }]));
      };
      for (let at = 0; at < 20; at++) done(keyOf(at));
      // Two bytes for each unit.
      const statuses = answer(store.claim([15, 16, 19].map(keyOf), 100)).map(({ status }) => status);
      expect(statuses).toEqual(['claimed', 'done', 'done']);
      // One that is larger than all of it is forgotten at once, and nothing is out for it.
      done('y'.repeat(2 ** 23));
      done('small');
      expect(answer(store.claim(['small', keyOf(19)], 100)).map(({ status }) => status)).toEqual(['done', 'claimed']);
    }));

  it('counts the bytes of a key that is done anew once', () =>
    virtually(({ advance }) => {
      const store = memoryIdempotencyStore({ maxBytes: 40, retentionMs: 10 });
      for (let round = 0; round < 10; round++) {
        const [claim] = answer(store.claim(['0123456789'], 1));
        answer(store.confirm([{ key: '0123456789', token: claim?.status === 'claimed' ? claim.token : '' }]));
        expect(answer(store.claim(['0123456789'], 1))).toEqual([{ status: 'done' }]);
        advance(10);
      }
      const [claim] = answer(store.claim(['abcdefghij'], 1));
      answer(store.confirm([{ key: 'abcdefghij', token: claim?.status === 'claimed' ? claim.token : '' }]));
      expect(answer(store.claim(['abcdefghij'], 1))).toEqual([{ status: 'done' }]);
    }));

  it('is out rather than unbounded where more keys are claimed than it may hold', () =>
    virtually(() => {
      const store = memoryIdempotencyStore({ maxKeys: 2 });
      answer(store.claim(['a', 'b'], 100));
      expect(() => answer(store.claim(['c'], 100))).toThrow('2 keys are claimed; maxKeys is 2');
    }));

  it('refuses options that are not allowed', () => {
    expect(() => memoryIdempotencyStore({ maxKeys: 0 })).toThrow('maxKeys must be a whole number, at least 1, not 0.');
    expect(() => memoryIdempotencyStore({ maxBytes: 0 })).toThrow(
      'maxBytes must be a whole number, at least 1, not 0.',
    );
    expect(() => memoryIdempotencyStore({ ttl: 1 } as never)).toThrow('there is no option ttl');
  });
});
