import { describe, expect, it } from '@jest/globals';
import { delay, of, type Observable } from 'rxjs';
import { withOutbox } from '../../lib/operators/with-outbox.js';
import { marbles } from '../support/marbles.js';
import { fakeOutbox, type FakeTx } from '../support/outbox-store.js';

describe('withOutbox with setUp', () => {
  interface Seen {
    readonly seen: readonly string[];
    readonly values: readonly unknown[];
    readonly written: readonly string[];
    readonly reasons: readonly unknown[];
    readonly open: number;
  }
  const run = (setUp: (value: string) => unknown, handler: (value: string) => unknown): Seen => {
    let result: Seen | null = null;
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)', { redelivery: () => 10_000 });
      const store = fakeOutbox({ begin: 1 });
      const seen: string[] = [];
      const handling = (value: string): unknown => {
        seen.push(`handler ${value}`);
        return handler(value);
      };
      const options = {
        consumer: 'me',
        key: (value: string) => value,
        timeoutMs: 50,
        setUp: (value: string, { tx }: { tx: FakeTx }) => {
          seen.push(`setUp ${value}`);
          tx.write(`for ${value}`);
          return setUp(value) as Observable<unknown>;
        },
      };
      const out = drive(source.texts.pipe(withOutbox(store, handling as () => Observable<unknown>, options)));
      advanceTo(500);
      const reasons = source.eventsOf('retried').map(({ event }) => event.reason);
      result = {
        seen: [...seen].sort(),
        values: out.values,
        written: [...store.written].sort(),
        reasons,
        open: store.open,
      };
    });
    return result as unknown as Seen;
  };

  it.each([
    ['at once', () => undefined],
    ['by an Observable', () => of(1)],
    ['later', () => of(1).pipe(delay(10))],
  ])('runs it before each handler, and goes on once it has ended %s', (_, setUp) => {
    const { seen, values, written } = run(setUp, (value) => of(value.toUpperCase()));
    expect(seen).toEqual(['handler a', 'handler b', 'setUp a', 'setUp b']);
    expect(values).toEqual(['A', 'B']);
    expect(written).toEqual(['for a', 'for b']);
  });

  it.each([
    [
      'throws',
      (error: Error) => () => {
        throw error;
      },
    ],
    ['is late', () => (value: string) => (value === 'a' ? of(1).pipe(delay(60)) : undefined)],
  ])('runs no handler where it %s, and the message fails', (what, setUpOf) => {
    const error = new Error('no such tenant');
    const setUp = setUpOf(error) as (value: string) => unknown;
    const { seen, values, written, reasons, open } = run(
      (value) => (value === 'a' ? setUp(value) : undefined),
      (value) => of(value.toUpperCase()),
    );
    expect(seen).toEqual(['handler b', 'setUp a', 'setUp b']);
    expect(values).toEqual(['B']);
    expect(written).toEqual(['for b']);
    expect(reasons).toEqual([what === 'throws' ? error : expect.objectContaining({ code: 'handler-timeout' })]);
    expect(open).toBe(0);
  });

  it('counts both in timeoutMs', () => {
    const slow = (): unknown => of(1).pipe(delay(30));
    const { values, reasons } = run(slow, slow);
    expect(values).toEqual([]);
    expect(reasons).toHaveLength(2);
  });
});
