import { describe, expect, it } from '@jest/globals';
import { ackEach } from '../../lib/operators/ack-each.js';
import { run } from '../../lib/operators/run.js';
import { marbles } from '../support/marbles.js';
import { config } from 'rxjs';

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

  it('does not compile for a pipeline that still emits deliveries', () =>
    marbles(({ log, advanceTo }) => {
      const source = log('a', { drainTimeoutMs: 5 });
      // @ts-expect-error nobody would settle them
      const subscription = run(source.texts);
      advanceTo(1);
      expect(source.settled()).toEqual([]);
      subscription.unsubscribe();
    }));
});
