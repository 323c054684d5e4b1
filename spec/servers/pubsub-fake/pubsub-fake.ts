import { grpc } from 'google-gax';
import { onFreePorts } from '../on-free-ports.js';
import { fakeClock } from './clock.js';
import { faults, type FaultControls } from './faults.js';
import { grpcServer } from './grpc-server.js';
import type { RpcName } from './rpcs.js';
import type { FakeStatus } from './status.js';
import { store } from './store.js';
import type { SubscriptionConfig, SubscriptionCounts } from './subscription.js';

/** What a spec sees of a subscription. */
export interface SubscriptionView {
  readonly config: SubscriptionConfig;
  readonly counts: SubscriptionCounts;
  /** Streams that are open now. */
  readonly streams: number;
  /** Messages that are delivered, and neither acked nor due again. */
  readonly outstanding: number;
  /** Of those, what the open streams have. */
  readonly held: number;
  /** Messages that are not acked, outstanding ones included. */
  readonly backlog: number;
}

/** What a spec sees of a topic. */
export interface TopicView {
  readonly published: number;
  /** How many messages each request had, in their order. */
  readonly batches: readonly number[];
}

/**
 * A Pub/Sub in this process, on a port of 127.0.0.1: true to what the service documents, and it fails as a spec asks.
 * Where that leaves a choice, it takes the worse one: an ack after the deadline has no effect. It ignores filters, and
 * does not seek. Names are as the client takes them: of the project `demo`, or in full.
 */
export interface PubSubFake extends FaultControls {
  /** For the client: host and port. */
  readonly endpoint: string;
  /** How many calls of this name have come, refused ones included. */
  calls(rpc: RpcName): number;
  subscription(name: string): SubscriptionView;
  topic(name: string): TopicView;
  /** Ends all open streams, or those of one subscription; default `'UNAVAILABLE'`. Leases go on. */
  cutStreams(code?: keyof typeof grpc.status, subscription?: string): void;
  detach(subscription: string): void;
  /** Puts the clock of deadlines and backoffs forward. */
  advance(ms: number): void;
  /** Destroys all connections, and listens no more. */
  kill(): void;
  /**
   * Listens again at the same port, after a `kill` if there was none. `'kept'`: with its topics, subscriptions and
   * leases, as the service would; `'lost'`: without, as an emulator. Default `'kept'`.
   */
  restart(state?: 'kept' | 'lost'): Promise<void>;
  /** Ends the server; no socket and no timer is left. Repeats do nothing. */
  stop(): void;
}

/** How to start a fake. */
export interface PubSubFakeOptions {
  /** Default: one that nobody uses. */
  readonly port?: number;
  /** Whether it counts the deliveries of each message, which takes memory for each. Default true. */
  readonly countDeliveries?: boolean;
  /** How many calls and streams a connection may have at once, as HTTP/2 says it; the service has 100. Default: no limit. */
  readonly maxConcurrentStreams?: number;
}

const PROJECT = 'demo';

/** Starts a fake in this process. */
export async function startPubSubFake(options: PubSubFakeOptions = {}): Promise<PubSubFake> {
  const { port: given, countDeliveries = true, maxConcurrentStreams } = options;
  const clock = fakeClock();
  const rows = store(clock, countDeliveries);
  const { fateOf, ...controls } = faults();
  const server = grpcServer(rows, fateOf, maxConcurrentStreams);

  const endStreams = (status: FakeStatus, only?: string): void => {
    for (const [name, { dispatcher }] of rows.subscriptions) {
      if (only === undefined || name === only) dispatcher.end(status);
    }
  };
  const kill = (): void => {
    server.kill();
    endStreams({ code: grpc.status.UNAVAILABLE, details: 'The server is killed.' });
  };

  if (given !== undefined) await server.listen(given);
  const port =
    given ??
    (await onFreePorts(1, async (free = 0) => {
      await server.listen(free);
      return free;
    }));
  return {
    ...controls,
    endpoint: `127.0.0.1:${port}`,
    calls: server.calls,
    subscription: (name) => {
      const { config, subscription, dispatcher } = rows.row(nameOf(name, 'subscriptions'));
      const { counts, outstanding, backlog } = subscription;
      const streams = [...dispatcher.streams];
      const held = streams.reduce((sum, { taker }) => sum + taker.messages, 0);
      return { config, counts, outstanding, held, backlog, streams: streams.length };
    },
    topic: (name) => rows.topic(nameOf(name, 'topics')),
    cutStreams: (code = 'UNAVAILABLE', subscription) => {
      const only = subscription === undefined ? undefined : nameOf(subscription, 'subscriptions');
      endStreams({ code: grpc.status[code], details: 'The spec cut the stream.' }, only);
    },
    detach: (name) => rows.detach(nameOf(name, 'subscriptions')),
    advance: clock.advance,
    kill,
    restart: async (state = 'kept') => {
      kill();
      if (state === 'lost') rows.clear();
      await server.listen(port);
    },
    stop: () => {
      kill();
      rows.clear();
      clock.clear();
    },
  };
}

function nameOf(name: string, kind: 'topics' | 'subscriptions'): string {
  return name.includes('/') ? name : `projects/${PROJECT}/${kind}/${name}`;
}
