import type { PubSub } from '@google-cloud/pubsub';
import { fromPubSub } from '../../lib/pubsub.js';
import type { Message } from '../../lib/index.js';
import type { ConformanceTimings, SourceDriver } from '../../lib/testing.js';
import { openTimers } from '../support/open-timers.js';
import type { PubSubTestClient } from '../servers/pubsub-test-client.js';

/** What the service takes; a publisher of ours would leave out of a dead letter what does not fit. */
const LONGEST_ATTRIBUTE = 1_024;

const UNAVAILABLE = 14;

export interface PubSubDriverOptions {
  readonly mode: 'streaming' | 'pull';
  readonly client: () => PubSubTestClient;
  /** Restarts the server with what it had, where it can be. */
  readonly restart?: () => Promise<unknown>;
  /** Whether messages of a key come in their order after one of them was given back, too. */
  readonly keyOrder: boolean;
  readonly timings?: ConformanceTimings;
}

/** `fromPubSub`, each over a client of its own; its groups are subscriptions. */
export function pubsubSourceDriver({ mode, client, restart, keyOrder, timings }: PubSubDriverOptions): SourceDriver {
  return {
    name: `fromPubSub, ${mode}`,
    timings: { withinMs: 300_000, quietMs: 400, drainMs: 500, leaseMs: 10_000, ...timings },
    features: {
      partitions: false,
      // Of a key, there is; without one there is none.
      order: false,
      keys: true,
      keyOrder,
      binaryKeys: false,
      keylessMessages: true,
      // A message without data needs an attribute.
      emptyValues: false,
      tombstones: false,
      headers: true,
      binaryHeaders: false,
      repeatedHeaders: false,
      // The service has its own.
      timestamps: false,
      groups: true,
      // A subscription has what was published since it was made.
      startEarliest: false,
      startLatest: false,
      startTimestamp: false,
      until: false,
      committedPositions: false,
      acksAbove: true,
      attempts: true,
      rebalance: false,
      cleanHandover: false,
      positionLost: false,
      leases: true,
      reshard: false,
      brokerRestart: restart !== undefined,
      openHandles: true,
    },
    open: () => {
      const clients: PubSub[] = [];
      const subscriptions = new Map<string, string>();
      return {
        createTopic: () => client().createTopic(),
        createGroup: async (topic) => {
          const name = await client().createSubscription(topic, {
            enableMessageOrdering: keyOrder,
            retryPolicy: { minimumBackoff: { seconds: 0 }, maximumBackoff: { seconds: 1 } },
          });
          subscriptions.set(name, topic);
          return name;
        },
        source: ({
          topic: _,
          group,
          start: _start,
          onPositionLost: _lost,
          until: _until,
          maxSpan: _span,
          ...request
        }) => {
          const pubsub = client().newPubSub();
          clients.push(pubsub);
          return fromPubSub(pubsub.subscription(group), { ...request, mode, ackDeadlineMs: 10_000 });
        },
        publish: (topic, messages) => publishEach(client(), topic, messages),
        ...(restart === undefined ? {} : { restartBroker: restart }),
        // The connections are the client's, and have timers of their own; so does the server where it is of this process.
        openHandles: () => openTimers(/@grpc|pubsub-fake/),
        close: () => Promise.all(clients.map((pubsub) => pubsub.close())),
      };
    },
  };
}

async function publishEach(client: PubSubTestClient, topic: string, messages: readonly Message[]): Promise<void> {
  const send = (): Promise<unknown> =>
    client.publish(topic, messages.length, {
      orderingKey: (index) => (messages[index]?.key as string | null | undefined) ?? '',
      data: (index) => messages[index]?.value ?? '',
      attributes: (index) => {
        const headers = Object.entries((messages[index]?.headers ?? {}) as Record<string, string>);
        return Object.fromEntries(headers.map(([name, value]) => [name, value.slice(0, LONGEST_ATTRIBUTE)]));
      },
    });
  // The first call after a restart of the server finds its connection broken.
  await send().catch((error: { code?: unknown }) =>
    error.code === UNAVAILABLE ? send() : Promise.reject(error as Error),
  );
}
