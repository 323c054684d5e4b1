import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { grpc } from 'google-gax';
import type { Fate } from './faults.js';
import { handlers } from './handlers.js';
import { serviceDefinition, UNARY, type PullCall, type RpcName, type UnaryName } from './rpcs.js';
import { FakeStatusError, type FakeStatus } from './status.js';
import type { Store } from './store.js';
import { answerStream } from './streaming-pull.js';

/** The part of a fake that listens. */
export interface FakeGrpcServer {
  /** Listens at a port of 127.0.0.1; rejects where that is taken. */
  listen(port: number): Promise<void>;
  /** Destroys all connections, drops what is not answered, and listens no more. Repeats do nothing. */
  kill(): void;
  /** How many calls of this name have come, refused ones included. */
  calls(rpc: RpcName): number;
}

type UnaryCall = grpc.ServerUnaryCall<unknown, unknown>;

/** Answers calls from a store, but for those that are fated to fail. */
export function grpcServer(
  store: Store,
  fateOf: (rpc: RpcName, ackIds: readonly string[]) => Fate,
  maxConcurrentStreams?: number,
): FakeGrpcServer {
  const answers = handlers(store);
  const calls = new Map<RpcName, number>();
  const delayed = new Set<NodeJS.Timeout>();
  const sockets = new Set<Socket>();
  let running: { readonly listener: Server; readonly services: grpc.Server } | undefined;

  const count = (rpc: RpcName): void => void calls.set(rpc, (calls.get(rpc) ?? 0) + 1);
  const after = (ms: number, run: () => void): void => {
    if (ms === 0) return run();
    const timer = setTimeout(() => {
      delayed.delete(timer);
      run();
    }, ms).unref();
    delayed.add(timer);
  };
  const unary = (name: UnaryName): grpc.handleUnaryCall<unknown, unknown> => {
    const answer = answers[name] as (request: unknown, call: UnaryCall) => unknown;
    return (call, callback) => {
      count(name);
      const { ackIds = [] } = call.request as { readonly ackIds?: readonly string[] };
      const fate = fateOf(name, ackIds);
      const work = async (): Promise<void> => {
        try {
          if (fate.before !== undefined) throw fate.before;
          const response = await answer(call.request, call);
          if (fate.after !== undefined) throw fate.after;
          callback(null, response);
        } catch (error) {
          callback(statusOf(error));
        }
      };
      after(fate.delayMs, () => void work());
    };
  };
  const streamingPull = (call: PullCall): void => {
    count('StreamingPull');
    const { delayMs, before } = fateOf('StreamingPull', []);
    const find = (name: string) => {
      if (before !== undefined) throw before;
      return store.attached(name);
    };
    after(delayMs, () => answerStream(call, find));
  };
  const names = Object.keys(UNARY) as UnaryName[];
  const implementation = Object.fromEntries(names.map((name) => [name, unary(name)]));

  return {
    listen: async (port) => {
      // What is too large is refused by the limits of the service, not by those of gRPC.
      const services = new grpc.Server({
        'grpc.max_receive_message_length': -1,
        'grpc.max_send_message_length': -1,
        ...(maxConcurrentStreams === undefined ? {} : { 'grpc.max_concurrent_streams': maxConcurrentStreams }),
      });
      services.addService(serviceDefinition(), { ...implementation, StreamingPull: streamingPull });
      const connections = services.createConnectionInjector(grpc.ServerCredentials.createInsecure());
      const listener = createServer((socket) => {
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
        connections.injectConnection(socket);
      });
      listener.listen(port, '127.0.0.1');
      await once(listener, 'listening');
      running = { listener, services };
    },
    kill: () => {
      for (const timer of delayed) clearTimeout(timer);
      delayed.clear();
      // The sockets first: gRPC would say goodbye, which a process that is killed does not.
      for (const socket of sockets) socket.destroy();
      running?.listener.close();
      running?.services.forceShutdown();
      running = undefined;
    },
    calls: (rpc) => calls.get(rpc) ?? 0,
  };
}

function statusOf(error: unknown): FakeStatus & { readonly name: string; readonly message: string } {
  const status =
    error instanceof FakeStatusError ? error.status : { code: grpc.status.INTERNAL, details: String(error) };
  return { ...status, name: 'Error', message: status.details };
}
