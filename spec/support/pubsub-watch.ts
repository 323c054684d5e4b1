import { mergeMap, type Observable } from 'rxjs';
import type { Delivery, TelemetryEvent } from '../../lib/index.js';
import { fromPubSub, type PubSubPosition, type PubSubSourceOptions } from '../../lib/pubsub.js';
import type { PubSubTestClient } from '../servers/pubsub-test-client.js';
import { until } from './until.js';

export type PubSubDelivery = Delivery<Uint8Array | null, PubSubPosition>;

/** Opens sources, and writes down what comes of them. */
export function watchPubSub(pubsub: () => PubSubTestClient) {
  const opened: { end(): void; isClosed(): boolean }[] = [];

  const open = (
    name: string,
    options: PubSubSourceOptions,
    pipeline: (source: Observable<PubSubDelivery>) => Observable<unknown> = (source) => source,
  ) => {
    const client = pubsub().newPubSub();
    const seen = {
      client,
      deliveries: [] as PubSubDelivery[],
      values: [] as unknown[],
      events: [] as TelemetryEvent[],
      error: null as unknown,
      isComplete: false,
      ofType: (type: TelemetryEvent['type']) => seen.events.filter((event) => event.type === type),
      isClosed: () => seen.ofType('closed').length === 1,
      end: () => subscription.unsubscribe(),
    };
    const source = fromPubSub(client.subscription(name), {
      ackDeadlineMs: 10_000,
      drainTimeoutMs: 500,
      telemetry: (event) => void seen.events.push(event),
      ...options,
    });
    const tapped = source.pipe(
      mergeMap((delivery) => {
        seen.deliveries.push(delivery);
        return [delivery];
      }),
    );
    const subscription = pipeline(tapped).subscribe({
      next: (value) => seen.values.push(value),
      error: (error: unknown) => (seen.error = error),
      complete: () => (seen.isComplete = true),
    });
    opened.push(seen);
    return seen;
  };

  const endAll = async (): Promise<void> => {
    const ended = opened.splice(0);
    for (const { end } of ended) end();
    // The client makes itself anew for calls of a stream that still closes, and would load files after the last spec.
    await until('all are closed', () => ended.every(({ isClosed }) => isClosed()), 20_000);
  };

  return { open, endAll };
}
