import { describe, expect, it } from '@jest/globals';
import { from, type ObservableInput } from 'rxjs';
import type { OutboxRow } from '../../../lib/core/outbox-row.js';
import type { OutboxTransaction } from '../../../lib/core/outbox-transaction.js';
import { memoryOutboxStore, type MemoryOutboxStore, type MemoryTransaction } from '../../../lib/memory.js';
import { refusal, untyped } from '../../support/options.js';
import { virtually } from '../../core/harness.js';

/** The answer of a call that answers at once; `undefined` where it gives none. */
function answer<T>(input: ObservableInput<T>): T {
  let value: T | undefined;
  let failure: Error | undefined;
  from(input).subscribe({ next: (next) => (value = next), error: (error: Error) => (failure = error) });
  if (failure !== undefined) throw failure;
  return value as T;
}

const begin = (store: MemoryOutboxStore): OutboxTransaction<MemoryTransaction> => answer(store.transaction('me'));

const message = (value: string) => ({ topic: 'out', key: null, value });

describe('memoryOutboxStore', () => {
  it('refuses what a handler does by its tx after its end, in the part of the next one too', () =>
    virtually(() => {
      const store = memoryOutboxStore();
      const transaction = begin(store);
      answer(transaction.record(['a', 'b']));
      const first = transaction.begin(false);
      const { tx } = first;
      tx.set('a', 1);
      answer(first.keep());
      const second = transaction.begin(false);
      second.tx.set('b', 2);
      const late = [() => tx.set('a', 3), () => tx.delete('b'), () => tx.get('b')];
      for (const use of late) expect(use).toThrow(expect.objectContaining({ code: 'transaction-ended' }));
      const { tx: last } = second;
      answer(transaction.commit({ messages: [], forget: [] }));
      expect(() => last.set('b', 3)).toThrow(expect.objectContaining({ code: 'transaction-ended' }));
      expect([...store.table]).toEqual([
        ['a', 1],
        ['b', 2],
      ]);
    }));

  it('is out while maxRows messages wait, dead ones included, and takes more once some are published', () =>
    virtually(() => {
      const store = memoryOutboxStore({ maxRows: 2 });
      answer(begin(store).commit({ messages: [message('a'), message('b')], forget: [] }));
      const full = begin(store);
      answer(full.record(['key']));
      let failure: unknown;
      from(full.commit({ messages: [message('c')], forget: [] })).subscribe({
        error: (error: unknown) => (failure = error),
      });
      expect(failure).toMatchObject({ code: 'store-failed', details: { size: 2, bytes: 2, maxRows: 2 } });
      expect(store.faultOf(failure)).toBe('unavailable');
      expect(store.faultOf(new Error('another'))).toBeNull();

      const [first] = answer(store.claim({ limit: 1, perLane: 1, leaseMs: 1_000, maxBytes: 1_000 }));
      answer(store.published([first as OutboxRow]));
      const again = begin(store);
      // It was rolled back whole: its key is new.
      expect(answer(again.record(['key']))).toEqual([true]);
      answer(again.commit({ messages: [message('c')], forget: [] }));
      expect(store.messages()).toHaveLength(2);
    }));

  it('is out while maxBytes wait: one transaction may pass it', () =>
    virtually(() => {
      const store = memoryOutboxStore({ maxBytes: 100 });
      answer(begin(store).commit({ messages: [message('x'.repeat(99))], forget: [] }));
      answer(begin(store).commit({ messages: [message('x'.repeat(1_000))], forget: [] }));
      expect(() => answer(begin(store).commit({ messages: [message('a')], forget: [] }))).toThrow(
        'memoryOutboxStore: 2 messages of 1099 bytes wait; maxRows is 100000, maxBytes 100.',
      );
      const rows = answer(store.claim({ limit: 9, perLane: 9, leaseMs: 1_000, maxBytes: 10_000 }));
      answer(store.published(rows));
      answer(store.published(rows));
      answer(begin(store).commit({ messages: [message('x'.repeat(99))], forget: [] }));
      answer(begin(store).commit({ messages: [message('a')], forget: [] }));
      expect(store.messages()).toHaveLength(2);
    }));

  it('remembers at most maxBytes of keys, and forgets the oldest first', () =>
    virtually(() => {
      const store = memoryOutboxStore({ maxBytes: 1_000 });
      const keyOf = (at: number): string => `${at}`.padEnd(200, 'x');
      for (let at = 0; at < 4; at++) {
        const transaction = begin(store);
        answer(transaction.record([keyOf(at)]));
        answer(transaction.commit({ messages: [], forget: [] }));
      }
      expect(answer(begin(store).record([3, 2, 1, 0].map(keyOf)))).toEqual([false, false, true, true]);
    }));

  it('commits without messages while it is full', () =>
    virtually(() => {
      const store = memoryOutboxStore({ maxRows: 1 });
      answer(begin(store).commit({ messages: [message('a')], forget: [] }));
      const silent = begin(store);
      answer(silent.record(['key']));
      silent.begin(true).tx.set('name', 1);
      answer(silent.commit({ messages: [], forget: [] }));
      expect(store.table.get('name')).toBe(1);
    }));

  it('remembers at most maxKeys keys, and forgets the oldest first', () =>
    virtually(() => {
      const store = memoryOutboxStore({ maxKeys: 2 });
      for (const key of ['a', 'b', 'c']) {
        const transaction = begin(store);
        answer(transaction.record([key]));
        answer(transaction.commit({ messages: [], forget: [] }));
      }
      expect(answer(begin(store).record(['c', 'b', 'a']))).toEqual([false, false, true]);
    }));

  it('refuses options that are none', () => {
    expect(refusal(() => memoryOutboxStore({ maxRows: 0 }))).toMatch(/maxRows/);
    expect(refusal(() => memoryOutboxStore({ maxKeys: 1.5 }))).toMatch(/maxKeys/);
    expect(refusal(() => memoryOutboxStore({ maxBytes: 0 }))).toMatch(/maxBytes/);
    expect(refusal(() => memoryOutboxStore(untyped({ rows: 1 })))).toMatch(/rows/);
  });
});
