import { defer, last, timeout, type Observable, type Subscription } from 'rxjs';
import type { Message } from '../core/message.js';
import type { PublisherConnection, PublishOutcome } from '../core/publisher.js';
import type { CaseDefinition } from './conformance-case.js';
import type { ResolvedTimings } from './conformance-timings.js';
import { errorText } from './probe.js';
import type { PublisherDriver, PublisherFeature, PublisherTestBed, StoredMessage } from './publisher-driver.js';
import { eventually } from './wait.js';

/** A hold on a connection. @internal */
export interface Holder {
  readonly connection: PublisherConnection | null;
  readonly connections: number;
  readonly state: 'connecting' | 'open' | 'completed' | 'failed' | 'released';
  readonly error: unknown;
  release(): void;
}

/** What a case of the publisher suite works with. @internal */
export interface PublisherWorld {
  readonly bed: PublisherTestBed;
  readonly features: Readonly<Record<PublisherFeature, boolean>>;
  readonly timings: ResolvedTimings;
  topic(partitions?: number): Promise<string>;
  /** Subscribes; the caller waits. */
  hold(connections: Observable<PublisherConnection>): Holder;
  /** Subscribes and waits for the connection. */
  connect(topic: string): Promise<{ readonly holder: Holder; readonly connection: PublisherConnection }>;
  /** One call, without keys where the broker has none; resolves with its outcomes, rejects with its error. */
  publish(connection: PublisherConnection, messages: readonly Message[]): Promise<readonly PublishOutcome[]>;
  /** Waits until so many messages are stored. */
  stored(topic: string, count: number): Promise<readonly StoredMessage[]>;
  until(holds: () => boolean | Promise<boolean>, seen: () => string): Promise<void>;
  openHandles(): Promise<readonly string[]>;
}

/** @internal */
export type PublisherCase = CaseDefinition<PublisherFeature, PublisherWorld>;

/** Runs a case in a world of its own, and leaves nothing of it open. @internal */
export async function inPublisherWorld(
  { open, features }: PublisherDriver,
  timings: ResolvedTimings,
  body: (world: PublisherWorld) => Promise<void>,
): Promise<void> {
  const bed = await open();
  const holders: Holder[] = [];
  try {
    await body(createWorld(bed, features, timings, holders));
  } finally {
    for (const holder of holders) holder.release();
    await bed.close?.();
  }
}

function createWorld(
  bed: PublisherTestBed,
  features: Readonly<Record<PublisherFeature, boolean>>,
  timings: ResolvedTimings,
  holders: Holder[],
): PublisherWorld {
  const { withinMs } = timings;

  const hold = (connections: Observable<PublisherConnection>): Holder => {
    let state: Holder['state'] = 'connecting';
    let connection: PublisherConnection | null = null;
    let count = 0;
    let error: unknown = null;
    const subscription: Subscription = connections.subscribe({
      next: (opened) => {
        connection = opened;
        count++;
        state = 'open';
      },
      error: (failure: unknown) => {
        error = failure;
        state = 'failed';
      },
      complete: () => (state = 'completed'),
    });
    const holder: Holder = {
      get connection() {
        return connection;
      },
      get connections() {
        return count;
      },
      get state() {
        return state;
      },
      get error() {
        return error;
      },
      release: () => {
        if (state === 'connecting' || state === 'open') state = 'released';
        subscription.unsubscribe();
      },
    };
    holders.push(holder);
    return holder;
  };

  const world: PublisherWorld = {
    bed,
    features,
    timings,
    topic: async (partitions = 1) => bed.createTopic({ partitions }),
    hold,
    connect: async (topic) => {
      const holder = hold(bed.publisher(topic).connect());
      await world.until(
        () => holder.state !== 'connecting',
        () => 'connect() emitted no connection.',
      );
      const { connection } = holder;
      if (connection === null) throw new Error(`connect() ${holder.state}: ${errorText(holder.error)}`);
      return { holder, connection };
    },
    publish: (connection, messages) =>
      new Promise((resolve, reject) => {
        defer(() => connection.publish(features.keys ? messages : messages.map(withoutKey)))
          .pipe(last(), timeout({ each: withinMs }))
          .subscribe({ next: resolve, error: reject });
      }),
    stored: async (topic, count) => {
      let found: readonly StoredMessage[] = [];
      await world.until(
        async () => {
          found = await bed.read(topic);
          return found.length >= count;
        },
        () => `${found.length} of ${count} messages are stored.`,
      );
      return found;
    },
    until: (holds, seen) => eventually(withinMs, holds, seen),
    openHandles: async () => {
      if (!features.openHandles) return [];
      if (bed.openHandles === undefined) throw new Error('openHandles is on, but there is no openHandles().');
      return bed.openHandles();
    },
  };
  return world;
}

function withoutKey({ key: _, ...message }: Message): Message {
  return message;
}
