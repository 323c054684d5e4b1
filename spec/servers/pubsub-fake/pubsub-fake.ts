import { grpc } from 'google-gax';
import { freePorts } from '../free-ports.js';
import { fakeClock } from './clock.js';
import { faults, type Faults } from './faults.js';
import { handlers } from './handlers.js';
import { serviceDefinition, UNARY, type PullCall, type RpcName, type UnaryName } from './rpcs.js';
import { FakeStatusError, type FakeStatus } from './status.js';
import { store } from './store.js';
import { answerStream } from './streaming-pull.js';
import type { SubscriptionConfig, SubscriptionCounts } from './subscription.js';

/** What a spec sees of a subscription. */
export interface SubscriptionView {
  readonly config: SubscriptionConfig;
  readonly counts: SubscriptionCounts;
  /** Streams that are open now. */
  readonly streams: number;
  /** Messages that are delivered, and neither acked nor due again. */
  readonly outstanding: number;
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
 * Names are as the client takes them: of the project `demo`, or in full.
 */
export interface PubSubFake extends Omit<Faults, 'fateOf'> {
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
  kill(): Promise<void>;
  /** Listens again at the same port; `'lost'` (as an emulator does it) forgets topics and subscriptions. */
  restart(state?: 'kept' | 'lost'): Promise<void>;
  /** Ends the server; no socket and no timer is left. Repeats do nothing. */
  stop(): Promise<void>;
}

const STARTS = 5;
const PROJECT = 'demo';

/** How to start a fake. */
export interface PubSubFakeOptions {
  /** Default: one that nobody uses. */
  readonly port?: number;
  /** Whether it counts the deliveries of each message, which takes memory for each. Default true. */
  readonly countDeliveries?: boolean;
}

/** Starts a fake in this process. */
export async function startPubSubFake(options: PubSubFakeOptions = {}): Promise<PubSubFake> {
  const { port: given, countDeliveries = true } = options;
  const clock = fakeClock();
  const rows = store(clock, countDeliveries);
  const fault = faults();
  const answers = handlers(rows);
  const calls = new Map<RpcName, number>();
  const count = (rpc: RpcName): void => void calls.set(rpc, (calls.get(rpc) ?? 0) + 1);
  const delays = new Set<NodeJS.Timeout>();
  const delay = (ms: number, run: () => void): void => {
    const timer = setTimeout(() => {
      delays.delete(timer);
      run();
    }, ms);
    delays.add(timer.unref());
  };

  const unary = (name: UnaryName) => {
    const answer = answers[name] as (request: unknown, call: grpc.ServerUnaryCall<unknown, unknown>) => unknown;
    return (call: grpc.ServerUnaryCall<unknown, unknown>, callback: grpc.sendUnaryData<unknown>): void => {
      count(name);
      const { ackIds = [] } = call.request as { ackIds?: readonly string[] };
      const { delayMs, before, after } = fault.fateOf(name, ackIds);
      const work = async (): Promise<void> => {
        try {
          if (before !== undefined) throw before;
          const response = await answer(call.request, call);
          if (after !== undefined) throw after;
          callback(null, response);
        } catch (error) {
          callback(statusOf(error));
        }
      };
      if (delayMs > 0) delay(delayMs, () => void work());
      else void work();
    };
  };
  const streamingPull = (call: PullCall): void => {
    count('StreamingPull');
    const { delayMs, before } = fault.fateOf('StreamingPull', []);
    const work = (): void =>
      answerStream(call, (name) => {
        if (before !== undefined) throw before;
        return rows.attached(name);
      });
    if (delayMs > 0) delay(delayMs, work);
    else work();
  };

  let server: grpc.Server | undefined;
  const listen = async (port: number): Promise<void> => {
    const started = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
    const names = Object.keys(UNARY) as UnaryName[];
    const implementation = Object.fromEntries(names.map((name) => [name, unary(name)]));
    started.addService(serviceDefinition(), { ...implementation, StreamingPull: streamingPull });
    await new Promise<void>((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createInsecure();
      started.bindAsync(`127.0.0.1:${port}`, credentials, (error) => (error === null ? resolve() : reject(error)));
    });
    server = started;
  };
  const listenOnFreePort = async (tries: number): Promise<number> => {
    const [port = 0] = await freePorts(1);
    try {
      await listen(port);
      return port;
    } catch (error) {
      if (tries > 1) return listenOnFreePort(tries - 1);
      throw error;
    }
  };
  const endStreams = (status: FakeStatus, only?: string): void => {
    for (const [name, { dispatcher }] of rows.subscriptions) {
      if (only === undefined || name === only) dispatcher.end(status);
    }
  };
  const kill = async (): Promise<void> => {
    for (const timer of delays) clearTimeout(timer);
    delays.clear();
    server?.forceShutdown();
    server = undefined;
    endStreams({ code: grpc.status.UNAVAILABLE, details: 'The server is killed.' });
  };

  const port = given ?? (await listenOnFreePort(STARTS));
  if (given !== undefined) await listen(given);
  const { fateOf: _, ...controls } = fault;
  return {
    ...controls,
    endpoint: `127.0.0.1:${port}`,
    calls: (rpc) => calls.get(rpc) ?? 0,
    subscription: (name) => {
      const { config, subscription, dispatcher } = rows.row(nameOf(name, 'subscriptions'));
      const { counts, outstanding, backlog } = subscription;
      return { config, counts, outstanding, backlog, streams: dispatcher.streams.size };
    },
    topic: (name) => rows.topic(nameOf(name, 'topics')),
    cutStreams: (code = 'UNAVAILABLE', subscription) => {
      const only = subscription === undefined ? undefined : nameOf(subscription, 'subscriptions');
      endStreams({ code: grpc.status[code], details: 'The spec cut the stream.' }, only);
    },
    detach: (name) => rows.detach(nameOf(name, 'subscriptions')),
    advance: clock.advance,
    kill,
    restart: async (state = 'lost') => {
      if (server !== undefined) await kill();
      if (state === 'lost') rows.clear();
      await listen(port);
    },
    stop: async () => {
      await kill();
      rows.clear();
      clock.clear();
    },
  };
}

function nameOf(name: string, kind: 'topics' | 'subscriptions'): string {
  return name.includes('/') ? name : `projects/${PROJECT}/${kind}/${name}`;
}

function statusOf(error: unknown): FakeStatus & { readonly name: string; readonly message: string } {
  const status =
    error instanceof FakeStatusError ? error.status : { code: grpc.status.INTERNAL, details: String(error) };
  return { ...status, name: 'Error', message: status.details };
}
