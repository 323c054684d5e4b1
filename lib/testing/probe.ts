import { tap, type Observable, type Subscription } from 'rxjs';
import type { Delivery } from '../core/delivery.js';
import { nameOf } from '../core/errors.js';
import { isError } from '../core/is-error.js';
import type { Telemetry, TelemetryEvent } from '../core/telemetry.js';
import { textOf } from './raw.js';

/** What a source emits. @internal */
export type RawDelivery = Delivery<Uint8Array | null>;

/** What stands below the source in a case. @internal */
export type Pipeline = (source: Observable<RawDelivery>) => Observable<unknown>;

/** A source under observation: what it emitted and told, and the hand on it. @internal */
export interface Probe {
  /** All that left the source, redeliveries included. */
  readonly deliveries: readonly RawDelivery[];
  /** All that came out of the pipeline. */
  readonly values: readonly unknown[];
  readonly events: readonly TelemetryEvent[];
  readonly texts: readonly string[];
  readonly state: 'idle' | 'open' | 'completed' | 'failed' | 'unsubscribed';
  readonly error: unknown;
  /** How often a session was begun, and how often one has said that it is closed (I8). */
  readonly sessions: number;
  readonly closes: number;
  /** An error of the source is what the case is about. */
  mayFail: boolean;
  subscribe(): void;
  unsubscribe(): void;
  stop(): void;
  /** Acks the newest delivery of each of these values. */
  ack(...texts: readonly string[]): void;
  /** Acks all that is out. */
  ackAll(): void;
  /** Nacks all that is out: after an unsubscribe, so that a close need not wait for it. */
  letGo(): void;
  newest(text: string): RawDelivery;
}

/** @internal */
export function createProbe(
  make: (telemetry: Telemetry, stop: AbortSignal) => Observable<RawDelivery>,
  pipeline: Pipeline = (source) => source,
): Probe {
  const deliveries: RawDelivery[] = [];
  const values: unknown[] = [];
  const events: TelemetryEvent[] = [];
  // Settled by the case itself: settling twice is a case of its own.
  const settled = new Set<RawDelivery>();
  const stop = new AbortController();
  let state: Probe['state'] = 'idle';
  let error: unknown = null;
  let sessions = 0;
  let subscription: Subscription | null = null;

  const source = make((event) => events.push(event), stop.signal);
  const piped = pipeline(source.pipe(tap((delivery) => deliveries.push(delivery))));

  const settleOnce = (delivery: RawDelivery, settle: () => void): void => {
    if (settled.has(delivery)) return;
    settled.add(delivery);
    settle();
  };
  const newest = (text: string): RawDelivery => {
    const found = [...deliveries].reverse().find(({ value }) => textOf(value) === text);
    if (found === undefined) throw new Error(`${text} was not received, so it cannot be settled.`);
    return found;
  };

  return {
    deliveries,
    values,
    events,
    mayFail: false,
    newest,
    get texts() {
      return deliveries.map(({ value }) => textOf(value));
    },
    get state() {
      return state;
    },
    get error() {
      return error;
    },
    get sessions() {
      return sessions;
    },
    get closes() {
      return events.filter(({ type }) => type === 'closed').length;
    },
    subscribe: () => {
      sessions++;
      state = 'open';
      subscription = piped.subscribe({
        next: (value) => values.push(value),
        error: (failure: unknown) => {
          state = 'failed';
          error = failure;
        },
        complete: () => (state = 'completed'),
      });
    },
    unsubscribe: () => {
      if (state === 'open') state = 'unsubscribed';
      subscription?.unsubscribe();
    },
    stop: () => stop.abort(),
    ack: (...texts) => {
      for (const delivery of texts.map(newest)) settleOnce(delivery, () => delivery.ack());
    },
    ackAll: () => {
      for (const delivery of [...deliveries]) settleOnce(delivery, () => delivery.ack());
    },
    letGo: () => {
      for (const delivery of deliveries) settleOnce(delivery, () => delivery.nack('the case is over'));
    },
  };
}

/** What an error says of itself, for a failure. @internal */
export function errorText(error: unknown): string {
  if (!isError(error)) return String(error);
  return `${nameOf(error)}${error.message === '' ? '' : `: ${error.message}`}`;
}
