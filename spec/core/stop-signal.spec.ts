import { describe, expect, it } from '@jest/globals';
import { listenForStop } from '../../lib/core/stop-signal.js';
import { collect, testLog, virtually } from './harness.js';

/** How many listeners a signal has by now. */
function countListeners(signal: AbortSignal): () => number {
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, given);
  };
  signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, given);
  };
  return () => listeners;
}

describe('an abort signal that stops many sources', () => {
  it('has one listener for all of them, and none once they are gone', () =>
    virtually(({ advance }) => {
      const stop = new AbortController();
      const listeners = countListeners(stop.signal);
      const open = Array.from({ length: 12 }, () => collect(testLog({ stop: stop.signal }).deliveries));
      // With more than ten Node warns of a leak.
      expect(listeners()).toBe(1);
      for (const { subscription } of open) subscription.unsubscribe();
      advance(20_000);
      expect(listeners()).toBe(0);
      const again = collect(testLog({ stop: stop.signal }).deliveries);
      expect(listeners()).toBe(1);
      stop.abort();
      advance(20_000);
      expect(again.ends).toEqual(['complete']);
    }));

  it('stops each of them, and none that is gone', () =>
    virtually(({ advance }) => {
      const stop = new AbortController();
      const open = Array.from({ length: 12 }, () => collect(testLog({ stop: stop.signal }).deliveries));
      open[3]?.subscription.unsubscribe();
      stop.abort();
      advance(20_000);
      expect(open.map(({ ends }) => ends.join())).toEqual(open.map((_, at) => (at === 3 ? '' : 'complete')));
      const late = collect(testLog({ stop: stop.signal }).deliveries);
      advance(1);
      expect(late.ends).toEqual(['complete']);
    }));

  it('stops the others where one throws, which is heard of', () =>
    virtually(({ advance }) => {
      const stop = new AbortController();
      const stopped: string[] = [];
      const fail = (): void => undefined;
      listenForStop(stop.signal, () => stopped.push('a'), fail);
      listenForStop(
        stop.signal,
        () => {
          throw new Error('of b');
        },
        fail,
      );
      const none = listenForStop(stop.signal, () => stopped.push('gone'), fail);
      listenForStop(stop.signal, () => stopped.push('c'), fail);
      none();
      none();
      stop.abort();
      expect(stopped).toEqual(['a', 'c']);
      expect(() => advance(1)).toThrow('of b');
    }));

  it('takes the same function twice as two', () => {
    const stop = new AbortController();
    let stops = 0;
    const count = (): void => void stops++;
    const fail = (): void => undefined;
    const unlisten = listenForStop(stop.signal, count, fail);
    listenForStop(stop.signal, count, fail);
    unlisten();
    stop.abort();
    expect(stops).toBe(1);
  });
});
