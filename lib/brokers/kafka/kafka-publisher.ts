import { asapScheduler, asyncScheduler, Observable, ReplaySubject, share, type Subscription } from 'rxjs';
import type { Message } from '../../core/message.js';
import { checkNames, checkOptions } from '../../core/options.js';
import { enqueueCall, openCall, takeOutcome, type PublishCall } from '../../core/publish-call.js';
import type { Publisher, PublisherConnection, PublishOutcome } from '../../core/publisher.js';
import type { KafkaClientLike, KafkaProducerLike } from './kafka-client.js';
import { kafkaError } from './kafka-errors.js';
import { encodeMessage, refused, sizeOf, type KafkaOutgoing } from './kafka-outgoing.js';
import { isClient } from './kafka-options.js';
import { withAdmin } from './kafka-offsets.js';
import { sendBatch } from './kafka-sender.js';

/** What `kafkaPublisher` takes. @public */
export interface KafkaPublisherOptions {
  /** Where the messages go; it must exist. */
  readonly topic: string;
  /** How many messages one request may carry: a whole number of at least 1. Default: 1,000. */
  readonly maxBatch?: number;
  /**
   * How many bytes one request may carry, before compression; a larger message goes alone, and the broker decides. Keep it
   * below the topic's `max.message.bytes`. Default: 1,000,000.
   */
  readonly maxBatchBytes?: number;
  /**
   * How long the first message waits for others, as long as the request has room, in milliseconds, 0 to 10,000. What
   * comes while a request is under way is gathered anyway. Default: 0.
   */
  readonly lingerMs?: number;
  /** How batches are compressed. Default: `'none'`. */
  readonly compression?: 'none' | 'gzip';
}

/** A message on its way. */
interface Entry {
  readonly outgoing: KafkaOutgoing;
  readonly size: number;
  readonly call: PublishCall;
  readonly index: number;
}

const COMPRESSION = { none: 0, gzip: 1 } as const;
// kafkajs waits 300 ms, then twice as long each time: some 10 s.
const RETRIES = 5;

/**
 * Publishes to a topic of Kafka, over a `Kafka` of kafkajs 2.2.4 that stays yours. Idempotent, acknowledged by all
 * in-sync replicas, in order; micro-batches while a request is under way.
 *
 * ```ts
 * retryToDlq({ deadLetters: kafkaPublisher(kafka, { topic: 'orders-dlq' }) })
 * ```
 *
 * A message goes to its `partition`, else to the one that the Java client would choose for its key, else round robin; a
 * retry never moves it. What the broker will never take (too large, no such partition) is refused message by message, as
 * permanent; a broker that is out fails the call. Then some of its messages may be stored all the same: at least once.
 * `connect` fails with `unknown-topic`, `connection-failed`, `authentication-failed` or `not-authorized`.
 * @public
 */
export function kafkaPublisher(client: KafkaClientLike, options: KafkaPublisherOptions): Publisher<Message> {
  checkNames('kafkaPublisher', options, ['topic', 'maxBatch', 'maxBatchBytes', 'lingerMs', 'compression']);
  checkOptions(
    'kafkaPublisher',
    { client, ...options },
    {
      client: { required: true, that: { be: 'a Kafka client, as kafkajs has it', holds: isClient } },
      topic: { required: true, type: 'string' },
      maxBatch: { integer: true, min: 1 },
      maxBatchBytes: { integer: true, min: 1, max: 2 ** 31 - 1 },
      lingerMs: { min: 0, max: 10_000 },
      compression: { oneOf: Object.keys(COMPRESSION) },
    },
  );
  const connections = new Observable<PublisherConnection<Message>>((subscriber) => {
    const connection = createConnection(client, options);
    connection.open().then(
      () => subscriber.next({ publish: connection.publish }),
      (error: unknown) => subscriber.error(kafkaError('kafkaPublisher', error, { topic: options.topic })),
    );
    return () => connection.close();
  }).pipe(share({ connector: () => new ReplaySubject(1) }));
  return { connect: () => connections };
}

function createConnection(client: KafkaClientLike, options: KafkaPublisherOptions) {
  const { topic, maxBatch = 1_000, maxBatchBytes = 1_000_000, lingerMs = 0, compression = 'none' } = options;
  const leaderOf = (partition: number): unknown => leaders.get(partition);
  const request = { topic, compression: COMPRESSION[compression], leaderOf };
  // Holds what callers wait for, so their bounds are its bound.
  let queue: Entry[] = [];
  let partitions = 0;
  // By partition; asked anew with each producer, since leaders move.
  let leaders = new Map<number, number | undefined>();
  let turn = 0;
  let producer: Promise<KafkaProducerLike> | null = null;
  let timer: Subscription | null = null;
  // The timer is that of a batch that waits for no others.
  let hurried = false;
  let sending = false;
  let closed = false;

  const connectProducer = async (): Promise<KafkaProducerLike> => {
    const made = client.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      retry: { retries: RETRIES },
      // Each message names its partition; given only because kafkajs warns without one.
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    });
    try {
      await made.connect();
    } catch (error) {
      void made.disconnect().catch(() => undefined);
      throw error;
    }
    return made;
  };

  const current = (): Promise<KafkaProducerLike> =>
    (producer ??= connectProducer().catch((error: unknown) => {
      producer = null;
      throw error;
    }));

  const retire = (): void => {
    const old = producer;
    producer = null;
    leaders.clear();
    void old?.then((made) => made.disconnect()).catch(() => undefined);
  };

  const countPartitions = async (): Promise<void> => {
    const { topics } = await withAdmin(client, (admin) => admin.fetchTopicMetadata({ topics: [topic] }));
    leaders = new Map(topics[0]?.partitions.map(({ partitionId, leader }) => [partitionId, leader]));
    partitions = leaders.size;
  };

  const schedule = (): void => {
    if (sending || queue.length === 0) return;
    // With no linger what is published in one turn goes together, and no timer adds to the latency.
    const atOnce = lingerMs === 0 || closed || fill().full;
    if (timer !== null && (hurried || !atOnce)) return;
    timer?.unsubscribe();
    hurried = atOnce;
    timer = (atOnce ? asapScheduler : asyncScheduler).schedule(
      () => {
        timer = null;
        void sendNext();
      },
      atOnce ? 0 : lingerMs,
    );
  };

  const sendNext = async (): Promise<void> => {
    const batch = queue.splice(0, fill().count);
    if (batch.length === 0) {
      if (closed) retire();
      return;
    }
    sending = true;
    try {
      const messages = batch.map(({ outgoing }) => outgoing);
      const made = await current();
      if (leaders.size === 0) await countPartitions();
      const outcomes = await sendBatch(made, request, messages);
      batch.forEach(({ call, index }, nth) => {
        if (takeOutcome(call, index, outcomes[nth] as PublishOutcome)) call.done(call.outcomes);
      });
    } catch (error) {
      retire();
      for (const { call } of batch) failCall(call, kafkaError('kafkaPublisher', error, { topic }));
    } finally {
      sending = false;
    }
    if (closed && queue.length === 0) retire();
    else if (queue.length > 0) void sendNext();
  };

  // How much of the queue the next request takes, and whether it has room for more.
  const fill = (): { readonly count: number; readonly full: boolean } => {
    let bytes = 0;
    let count = 0;
    for (const { size } of queue) {
      bytes += size;
      if (count > 0 && bytes > maxBatchBytes) return { count, full: true };
      if (++count === maxBatch) return { count, full: true };
    }
    return { count, full: bytes >= maxBatchBytes };
  };

  const failCall = (call: PublishCall, error: unknown): void => {
    if (call.over) return;
    call.over = true;
    queue = queue.filter((entry) => entry.call !== call);
    call.fail(error);
  };

  const enqueue = (messages: readonly Message[], call: PublishCall): void =>
    enqueueCall('kafkaPublisher', call, messages, (message, index) => {
      const outgoing = encodeMessage(message, partitions, () => turn++);
      queue.push({ outgoing, size: sizeOf(outgoing), call, index });
    });

  const publish = (messages: readonly Message[]): Observable<readonly PublishOutcome[]> =>
    new Observable((subscriber) => {
      const call = openCall(subscriber, messages.length);
      if (closed) {
        call.fail(refused('the connection is closed'));
        return;
      }
      const known = messages.some((message) => asksForMore(message, partitions)) ? countPartitions() : null;
      if (known === null) {
        enqueue(messages, call);
        schedule();
      } else {
        known.then(
          () => {
            if (call.over) return;
            enqueue(messages, call);
            schedule();
          },
          (error: unknown) => failCall(call, kafkaError('kafkaPublisher', error, { topic })),
        );
      }
      return () => {
        // With many small calls a look through the queue at the end of each would cost their square.
        if (call.over) return;
        call.over = true;
        queue = queue.filter((entry) => entry.call !== call);
      };
    });

  return {
    open: async (): Promise<void> => {
      await countPartitions();
      if (!closed) await current();
      if (closed) retire();
    },
    publish,
    close: (): void => {
      closed = true;
      if (sending) return;
      timer?.unsubscribe();
      timer = null;
      if (queue.length === 0) retire();
      else schedule();
    },
  };
}

// One that cannot be read is refused by itself, later.
function asksForMore(message: Message, partitions: number): boolean {
  try {
    return (message.partition ?? 0) >= partitions;
  } catch {
    return false;
  }
}
