import { describe, expect, it } from '@jest/globals';
import { ackEach } from '../../lib/operators/ack-each.js';
import { run } from '../../lib/operators/run.js';
import { marbles } from '../support/marbles.js';
import { refusal, untyped } from '../support/options.js';
import { config, of, tap, type Observable } from 'rxjs';

describe('run', () => {
  it('subscribes the pipeline and gives the subscription', () =>
    marbles(({ log, advanceTo }) => {
      const source = log('-a-b-c');
      const subscription = run(source.texts.pipe(ackEach()));
      advanceTo(4);
      expect(source.settled('done')).toEqual(['a', 'b']);
      subscription.unsubscribe();
      advanceTo(10);
      expect(source.settled('done')).toEqual(['a', 'b']);
      expect(source.isOpen).toBe(false);
    }));

  it('is over when the pipeline completes', () =>
    marbles(({ log, advanceTo }) => {
      const source = log('-a-|');
      const subscription = run(source.texts.pipe(ackEach()));
      advanceTo(3);
      expect(subscription.closed).toBe(true);
      expect(source.isOpen).toBe(false);
    }));

  it('reports an error that ends the pipeline as RxJS reports any unhandled one', () => {
    const unhandled: unknown[] = [];
    const { onUnhandledError } = config;
    config.onUnhandledError = (error) => unhandled.push(error);
    try {
      marbles(({ log, advanceTo }) => {
        run(log('-#').texts.pipe(ackEach()));
        advanceTo(5);
      });
    } finally {
      config.onUnhandledError = onUnhandledError;
    }
    expect(unhandled).toEqual([expect.objectContaining({ code: 'source-failed' })]);
  });

  it('ends a pipeline that still emits deliveries, also where the compiler cannot see it', () => {
    const unhandled: unknown[] = [];
    const { onUnhandledError } = config;
    config.onUnhandledError = (error) => unhandled.push(error);
    try {
      marbles(({ log, advanceTo }) => {
        const source = log('-a-b', { drainTimeoutMs: 5 });
        const same = <T>(values: Observable<T>): Observable<T> => values;
        // RxJS types a pipe() of more than nine operators as unknown.
        const pipeline = source.texts.pipe(same, same, same, same, same, same, same, same, same, same);
        const subscription = run(pipeline);
        advanceTo(20);
        expect(subscription.closed).toBe(true);
        expect([source.settled(), source.isOpen]).toEqual([[], false]);
      });
    } finally {
      config.onUnhandledError = onUnhandledError;
    }
    expect(unhandled).toEqual([
      expect.objectContaining({ code: 'unsupported', details: { owner: 'run', id: 'orders/0/0' } }),
    ]);
    expect(String(unhandled[0])).toMatch(
      /nobody has settled orders\/0\/0: end it with ackEach\(\)\..*more than nine operators/,
    );
  });

  it('lets pass what is settled already, and values that are no deliveries', () =>
    marbles(({ log, advanceTo }) => {
      const source = log('-a-b-c-|');
      const settled = source.texts.pipe(tap((delivery) => delivery.ack()));
      const subscription = run(settled as Observable<unknown>);
      advanceTo(10);
      expect([source.settled('done'), subscription.closed]).toEqual([['a', 'b', 'c'], true]);
      for (const value of [null, undefined, 5, 'x', {}, [], () => 1]) expect(run(of<unknown>(value)).closed).toBe(true);
    }));

  it('refuses what is no Observable', () => {
    expect(refusal(() => run(untyped(undefined)))).toBe('run: pipeline must be an Observable, not undefined.');
    expect(refusal(() => run(untyped(Promise.resolve())))).toBe('run: pipeline must be an Observable, not a Promise.');
  });

  it('does not compile for a pipeline that still emits deliveries', () =>
    marbles(({ log, advanceTo }) => {
      const source = log('---a', { drainTimeoutMs: 5 });
      // @ts-expect-error nobody would settle them
      const subscription = run(source.texts);
      advanceTo(1);
      expect(source.settled()).toEqual([]);
      subscription.unsubscribe();
    }));
});
