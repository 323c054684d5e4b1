import { from } from 'rxjs';
import type { Delivery } from '../../lib/core/delivery.js';
import type { LeaseGroup, LeaseStore, ShardLease } from '../../lib/core/lease-store.js';
import type { TelemetryEvent } from '../../lib/core/telemetry.js';
import { fromKinesis } from '../../lib/brokers/kinesis/from-kinesis.js';
import type { KinesisSourceOptions } from '../../lib/brokers/kinesis/kinesis-options.js';
import { memoryLeaseStore } from '../../lib/stores/memory/memory-lease-store.js';
import type { FakeKinesis } from './kinesis-fake.js';
import type { Drive, Marbles } from './marbles.js';

export const GROUP: LeaseGroup = { consumer: 'c', stream: 's' };

export interface Worker extends Drive<Delivery<Uint8Array | null>> {
  /** The names that it has in the store begin with this. */
  readonly name: string;
  /** The texts that came, in their order. */
  texts(): string[];
  /** What is out, by its text. */
  readonly out: Map<string, Delivery<Uint8Array | null>>;
  ack(...texts: readonly string[]): void;
  readonly events: TelemetryEvent[];
  eventsOf(type: TelemetryEvent['type']): TelemetryEvent[];
  stop(): void;
}

export interface Workers {
  readonly store: LeaseStore;
  rows(): Map<string, ShardLease>;
  /** Starts a worker; with `acks` it acks each message as it comes. */
  start(options?: Partial<KinesisSourceOptions> & { readonly acks?: boolean; readonly client?: FakeKinesis }): Worker;
}

let made = 0;

/** Workers of one consumer over a fake Kinesis, in virtual time. */
export function workersOf(
  { drive }: Pick<Marbles, 'drive'>,
  kinesis: FakeKinesis,
  store: LeaseStore = memoryLeaseStore(),
): Workers {
  const rows = (): Map<string, ShardLease> => {
    const found = new Map<string, ShardLease>();
    from(store.list(GROUP)).subscribe((all) => all.forEach((row) => found.set(row.shard, row)));
    return found;
  };
  return {
    store,
    rows,
    start: ({ acks = true, client = kinesis, ...options } = {}) => {
      const events: TelemetryEvent[] = [];
      const stop = new AbortController();
      const out = new Map<string, Delivery<Uint8Array | null>>();
      const seen: string[] = [];
      const name = `w${made++}`;
      const source = fromKinesis(client, {
        stream: 's',
        consumer: 'c',
        leases: store,
        worker: name,
        telemetry: (event) => void events.push(event),
        stop: stop.signal,
        ...options,
      });
      const driven = drive(source, (delivery) => {
        const text = new TextDecoder().decode(delivery.value as Uint8Array);
        seen.push(text);
        out.set(text, delivery);
        if (acks) delivery.ack();
      });
      return Object.assign(driven, {
        name,
        texts: () => [...seen],
        out,
        ack: (...texts: readonly string[]) => texts.forEach((text) => out.get(text)?.ack()),
        events,
        eventsOf: (type: TelemetryEvent['type']) => events.filter((event) => event.type === type),
        stop: () => stop.abort(),
      });
    },
  };
}
