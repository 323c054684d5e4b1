import { once } from 'node:events';
import { createServer, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { KinesisStreamEventLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import type { FakeKinesis } from '../support/kinesis-fake.js';
import { eventMessage } from './kinesis/event-message.js';

/** A Kinesis of this process as a server of HTTP/2 on 127.0.0.1, for the client of the SDK as it is by default. */
export interface KinesisOverHttp2 {
  readonly endpoint: string;
  /** Connections. */
  sessions(): number;
  /** Streams of records. */
  subscriptions(): number;
  /** How many bytes of records it has given to the network. */
  sentBytes(): number;
  /** Ends all connections, as a network does. */
  cut(): void;
  close(): Promise<void>;
}

type Call = (input: unknown, options: { readonly abortSignal: AbortSignal }) => PromiseLike<object>;

/** Serves the calls of a fake. No test server keeps a stream open once the SDK has sent its GOAWAY; this one does. */
export async function serveOverHttp2(kinesis: FakeKinesis): Promise<KinesisOverHttp2> {
  const sessions = new Set<Http2Session>();
  const sockets = new Set<Socket>();
  let subscriptions = 0;
  let sentBytes = 0;

  const send = async (stream: ServerHttp2Stream, events: AsyncIterable<KinesisStreamEventLike>): Promise<void> => {
    const write = async (headers: Readonly<Record<string, string>>, payload: object): Promise<void> => {
      const bytes = eventMessage({ ':content-type': 'application/json', ...headers }, JSON.stringify(plain(payload)));
      sentBytes += bytes.length;
      if (!stream.write(bytes)) await drained(stream);
    };
    subscriptions++;
    try {
      stream.respond({ ':status': 200, 'content-type': 'application/vnd.amazon.eventstream' });
      await write({ ':message-type': 'event', ':event-type': 'initial-response' }, {});
      for await (const event of events) {
        await write(
          { ':message-type': 'event', ':event-type': 'SubscribeToShardEvent' },
          event.SubscribeToShardEvent ?? {},
        );
      }
      stream.end();
    } catch (error) {
      const { name, message } = error as Error;
      if (stream.closed) return;
      if (!name.endsWith('Exception')) {
        stream.close();
        return;
      }
      await write({ ':message-type': 'exception', ':exception-type': name }, { message });
      stream.end();
    } finally {
      subscriptions--;
    }
  };

  const serve = async (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> => {
    const aborting = new AbortController();
    stream.on('close', () => aborting.abort());
    // What a client that has gone says of it.
    stream.on('error', () => undefined);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    const operation = String(headers['x-amz-target']).split('.')[1] ?? '';
    const method = `${operation.charAt(0).toLowerCase()}${operation.slice(1)}`;
    const reply = (status: number, body: object): void => {
      if (stream.closed) return;
      stream.respond({ ':status': status, 'content-type': 'application/x-amz-json-1.1' });
      stream.end(JSON.stringify(plain(body)));
    };
    try {
      const call = (kinesis as unknown as Readonly<Record<string, Call>>)[method];
      if (call === undefined) throw Object.assign(new Error(operation), { name: 'UnknownOperationException' });
      const answer = await call(typed(JSON.parse(Buffer.concat(chunks).toString())), { abortSignal: aborting.signal });
      if ('EventStream' in answer) await send(stream, answer.EventStream as AsyncIterable<KinesisStreamEventLike>);
      else reply(200, answer);
    } catch (error) {
      const { name, message } = error as Error;
      reply(400, { __type: name, message });
    }
  };

  const server = createServer();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => void serve(stream, headers).catch(() => stream.close()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessions: () => sessions.size,
    subscriptions: () => subscriptions,
    sentBytes: () => sentBytes,
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: async () => {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Until it takes more, or nothing any more. */
function drained(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}

/** As JSON of AWS has it: times in seconds, bytes in base64. */
function plain(value: unknown): unknown {
  if (value instanceof Date) return value.getTime() / 1_000;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
}

/** The inputs of what reads: times alone need a type. */
function typed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      name === 'Timestamp' ? new Date(Number(each) * 1_000) : typed(each),
    ]),
  );
}
