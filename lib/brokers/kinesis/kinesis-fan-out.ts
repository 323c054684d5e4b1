import type { LogEngine } from '../../core/log-engine.js';
import type { KinesisClientLike } from './kinesis-client.js';
import { createConsumer, subscribeError, type FanOutClient } from './kinesis-consumer.js';
import type { KinesisFanOut } from './kinesis-options.js';
import type { KinesisRecord } from './kinesis-record.js';
import { readShard, type Shard, type ShardEvents, type ShardOptions } from './kinesis-shard.js';
import { subscribeShard } from './kinesis-subscription.js';

/** @internal */
export interface FanOutOptions {
  readonly client: KinesisClientLike;
  /** The source, as errors and warnings name it. */
  readonly owner: string;
  /** Its name. */
  readonly stream: string;
  readonly streamArn: () => string;
  readonly fanOut: Exclude<KinesisFanOut, true>;
  readonly requestTimeoutMs: number;
}

/** Reads a shard, by whatever way; what `readShard` does. @internal */
export type ReadShard = (options: ShardOptions, events: ShardEvents) => Shard;

/**
 * Reads shards by enhanced fan-out; by polling where that cannot be had, which is told once. What stands at `'latest'` by an
 * iterator is polled up to its first record, for only the iterator knows where that was.
 * @internal
 */
export function fanOutReading(
  engine: Pick<LogEngine<KinesisRecord>, 'misuse' | 'fail'>,
  { client: given, owner, stream, streamArn, fanOut, requestTimeoutMs }: FanOutOptions,
): ReadShard {
  const client = given as FanOutClient;
  const name = 'consumerName' in fanOut ? fanOut.consumerName : fanOut.consumerArn;
  const consumer = createConsumer({ client, owner, stream, streamArn, fanOut, requestTimeoutMs });
  const told = new Set<string>();
  let polls = false;

  const tell = (code: string, text: string): void => {
    if (told.has(code)) return;
    told.add(code);
    engine.misuse(code, `${owner} (stream ${stream}): ${text}`);
  };
  const poll = (code: string, text: string): void => {
    polls = true;
    tell(code, text);
  };

  return (options, events) => {
    if (speaksHttp1Alone(client)) poll('fan-out-needs-http2', NEEDS_HTTP2);
    let current: Shard;
    // How often it began anew, or ended.
    let turns = 0;

    const subscribe = (received: string | null): Shard =>
      subscribeShard(
        { client, consumer, shard: options.shard, from: options.from, received, requestTimeoutMs },
        {
          ...events,
          failed: (error) => events.failed(subscribeError(owner, stream, error)),
          unsupported: (_, from, behind) => {
            poll('fan-out-unsupported', UNSUPPORTED);
            current = readShard({ ...options, from, received: behind, iterator: null }, events);
          },
          refused: (error) => engine.fail(error),
          crowded: () => tell('fan-out-consumer-shared', shared(name)),
        },
      );

    const pollToFirst = (): Shard =>
      readShard(options, {
        ...events,
        page: (page) => {
          const turn = turns;
          events.page(page);
          const received = page.records.at(-1)?.SequenceNumber;
          if (received === undefined || page.isLast || polls || turn !== turns) return;
          current.stop();
          current = subscribe(received);
        },
      });

    if (polls) return readShard(options, events);
    current = options.iterator === null ? subscribe(options.received) : pollToFirst();
    return {
      wake: () => current.wake(),
      restart: (from) => {
        turns++;
        current.restart(from);
      },
      stop: () => {
        turns++;
        current.stop();
      },
    };
  };
}

const GOES_ON =
  'It polls instead, which is complete, and shares the five reads a second of each shard with other consumers.';
const NEEDS_HTTP2 =
  'enhanced fan-out needs HTTP/2, and the request handler of the client speaks HTTP/1.1 alone. ' +
  `${GOES_ON} Leave requestHandler out, or give a plain object, which sets up the handler of HTTP/2.`;
const UNSUPPORTED = `whoever answers at the endpoint of the client does not know enhanced fan-out. ${GOES_ON}`;

function shared(name: string): string {
  return (
    `somebody else subscribes with the consumer ${name} to shards whose leases are here, or it is being made or deleted. ` +
    'Each consumer of ours needs one of its own for fan-out; its workers share that.'
  );
}

/**
 * Whether the client of the SDK says so. Of an endpoint that the user gave nobody knows what it takes: test servers take
 * HTTP/1.1, and refuse where they do not.
 */
function speaksHttp1Alone(client: KinesisClientLike): boolean {
  const { config } = client as {
    config?: { requestHandler?: { metadata?: { handlerProtocol?: unknown } }; isCustomEndpoint?: unknown };
  };
  return config?.requestHandler?.metadata?.handlerProtocol === 'http/1.1' && config.isCustomEndpoint !== true;
}
