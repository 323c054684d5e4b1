import { asyncScheduler, defer, observable, type ObservableInput, type Subscription } from 'rxjs';
import { isPromiseLike } from './deferred.js';

/** Calls `stop` once when an abort signal or the first value or completion of an input says so. @internal */
export function listenForStop(
  signal: AbortSignal | ObservableInput<unknown>,
  stop: () => void,
  fail: (error: unknown) => void,
): () => void {
  if (isAbortSignal(signal)) {
    if (!signal.aborted) return onAbort(signal, stop);
    stop();
    return () => undefined;
  }
  const subscription: Subscription = defer(() => signal).subscribe({ next: stop, error: fail, complete: stop });
  return () => subscription.unsubscribe();
}

interface Stops {
  readonly all: Set<() => void>;
  readonly listener: () => void;
}

// Node warns of a leak where one signal has more than ten listeners, and one may stop any number of sources: they share a listener.
const stopsOf = new WeakMap<AbortSignal, Stops>();

function onAbort(signal: AbortSignal, stop: () => void): () => void {
  const stops = stopsOf.get(signal) ?? listenTo(signal);
  // Another one for each source, whatever function is given.
  const own = (): void => stop();
  stops.all.add(own);
  return () => {
    if (!stops.all.delete(own) || stops.all.size > 0) return;
    stopsOf.delete(signal);
    signal.removeEventListener('abort', stops.listener);
  };
}

function listenTo(signal: AbortSignal): Stops {
  const all = new Set<() => void>();
  const stops = { all, listener: () => stopEach(all) };
  stopsOf.set(signal, stops);
  signal.addEventListener('abort', stops.listener, { once: true });
  return stops;
}

// As if each had a listener of its own: one that throws keeps no other from stopping, and is heard of.
function stopEach(all: ReadonlySet<() => void>): void {
  for (const stop of [...all]) {
    try {
      stop();
    } catch (error) {
      asyncScheduler.schedule(() => {
        throw error;
      });
    }
  }
}

/**
 * Whether it may have fired before and can only say so later: a Promise, an async iterable or a stream. An abort signal and an
 * Observable say so at once.
 * @internal
 */
export function answersLater(signal: AbortSignal | ObservableInput<unknown>): boolean {
  return isPromiseLike(signal) || Symbol.asyncIterator in signal || 'getReader' in signal;
}

function isAbortSignal(signal: object): signal is AbortSignal {
  return 'aborted' in signal && 'addEventListener' in signal;
}

/** Whether it can say when to stop. @internal */
export function isStopInput(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const input = value as Readonly<Record<PropertyKey, unknown>>;
  return isAbortSignal(value) || 'length' in value || INPUTS.some((member) => typeof input[member] === 'function');
}

/** What RxJS knows an input by. */
const INPUTS: readonly PropertyKey[] = [observable, 'then', 'getReader', Symbol.iterator, Symbol.asyncIterator];
