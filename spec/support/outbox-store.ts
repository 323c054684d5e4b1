import { asyncScheduler, defer, delay, EMPTY, map, type Observable, of, tap, throwError } from 'rxjs';
import type { OutboxMessage } from '../../lib/core/outbox-message.js';
import type { OutboxFault, OutboxStore } from '../../lib/core/outbox-store.js';
import type { OutboxTransaction } from '../../lib/core/outbox-transaction.js';

export const OUTBOX_OUTAGE = new Error('the database is out');
export const CONFLICT = new Error('could not serialize');
export const LOST = new Error('the connection was lost');

export type OutboxStep = 'begin' | 'record' | 'undo' | 'commit' | 'rollBack';

/** What a handler writes by: each word is a row. */
export interface FakeTx {
  write(word: string): void;
}

export interface FakeOutbox extends OutboxStore<FakeTx> {
  /** What is committed. */
  readonly written: string[];
  readonly recorded: Set<string>;
  readonly stored: OutboxMessage[];
  /** Each step with its time and, where it has such, its keys or words. */
  readonly steps: string[];
  /** Transactions that are neither committed nor rolled back. */
  open: number;
  mostOpen: number;
  /** Of rollbacks, those whose connection was given up. */
  broken: number;
  /** Fails a step, the next time it is taken. */
  failNext(step: OutboxStep, error: unknown, times?: number): void;
}

/** A store of one process whose steps take virtual time; its transactions do not see one another. */
export function fakeOutbox(takes: Partial<Record<OutboxStep, number>> = {}): FakeOutbox {
  const failures = new Map<OutboxStep, unknown[]>();
  const step = <R>(name: OutboxStep, what: string, work: () => R): Observable<R> =>
    defer(() => {
      fake.steps.push(`${asyncScheduler.now()} ${name}${what === '' ? '' : ` ${what}`}`);
      const failure = failures.get(name)?.shift();
      const ms = takes[name] ?? 0;
      const done = failure === undefined ? of(null) : throwError(() => failure);
      return (
        ms === 0 ? done : of(null).pipe(delay(ms), (o) => (failure === undefined ? o : throwAfter(o, failure)))
      ).pipe(map(work));
    });

  const transaction = (consumer: string): OutboxTransaction<FakeTx> => {
    const mine = new Set<string>();
    let words: string[] = [];
    let savepoint = 0;
    fake.open++;
    const closed = tap<unknown>({ complete: () => fake.open--, error: () => fake.open-- });
    fake.mostOpen = Math.max(fake.mostOpen, fake.open);
    return {
      record: (keys) =>
        step('record', keys.join(), () =>
          keys.map((key) => {
            const owned = `${consumer} ${key}`;
            if (fake.recorded.has(owned) || mine.has(owned)) return false;
            mine.add(owned);
            return true;
          }),
        ),
      begin: () => {
        savepoint = words.length;
        return {
          get tx() {
            return { write: (word: string) => void words.push(word) };
          },
          keep: () => EMPTY,
          undo: () =>
            step('undo', '', () => {
              words = words.slice(0, savepoint);
            }),
        };
      },
      commit: ({ messages, forget }) =>
        step('commit', words.join(), () => {
          for (const key of forget) mine.delete(`${consumer} ${key}`);
          for (const key of mine) fake.recorded.add(key);
          fake.written.push(...words);
          fake.stored.push(...messages);
        }).pipe(closed),
      rollBack: (broken) => {
        if (broken) fake.broken++;
        return step('rollBack', '', () => undefined).pipe(closed);
      },
    };
  };

  const fake: FakeOutbox = {
    written: [],
    recorded: new Set(),
    stored: [],
    steps: [],
    open: 0,
    mostOpen: 0,
    broken: 0,
    failNext: (name, error, times = 1) => {
      failures.set(name, [...(failures.get(name) ?? []), ...Array<unknown>(times).fill(error)]);
    },
    transaction: (consumer) => step('begin', '', () => transaction(consumer)),
    faultOf: (error): OutboxFault => {
      if (error === CONFLICT) return 'conflict';
      return error === OUTBOX_OUTAGE || error === LOST ? 'unavailable' : null;
    },
    claim: () => EMPTY,
    renew: () => EMPTY,
    published: () => EMPTY,
    dead: () => EMPTY,
    release: () => EMPTY,
    lag: () => EMPTY,
  };
  return fake;
}

function throwAfter(waited: Observable<unknown>, failure: unknown): Observable<never> {
  return waited.pipe(
    map(() => {
      throw failure;
    }),
  );
}
