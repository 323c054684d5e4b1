import { NodeHttpHandler } from '@smithy/node-http-handler';
import { kinesisPublisher } from '../../lib/brokers/kinesis/kinesis-publisher.js';
import type { PublisherDriver } from '../../lib/testing.js';
import type { KinesisTestClient } from '../servers/kinesis-test-client.js';
import { openTimers } from '../support/open-timers.js';

const MAX_RECORD_BYTES = 2 ** 20;
// A stream is of several shards whatever is asked for: a message cannot name one, and a key must keep to its own.
const LEAST_SHARDS = 4;

/** The AWS SDK on a live test server; each publisher has a client of its own. */
export function kinesisPublisherDriver(kinesis: () => KinesisTestClient): PublisherDriver {
  return {
    name: `kinesisPublisher`,
    timings: { withinMs: 300_000, quietMs: 200 },
    features: {
      partitions: false,
      order: true,
      keys: true,
      keyOrder: true,
      // A partition key is text.
      binaryKeys: false,
      // One is made up, and stored.
      keylessMessages: false,
      emptyValues: true,
      tombstones: false,
      headers: false,
      binaryHeaders: false,
      repeatedHeaders: false,
      timestamps: false,
      maxMessageBytes: true,
      unknownTopics: true,
      openHandles: true,
    },
    open: () => ({
      createTopic: ({ partitions }) => kinesis().createStream({ shards: Math.max(partitions, LEAST_SHARDS) }),
      publisher: (stream) => {
        // The client is not the publisher's to end, so its idle sockets must not stay.
        const requestHandler = new NodeHttpHandler({ httpAgent: { keepAlive: false } });
        return kinesisPublisher(kinesis().newKinesis({ requestHandler }), { stream });
      },
      read: async (stream) =>
        (await kinesis().readAll(stream)).map(({ shard, key, data }) => ({
          partition: Number(shard.slice(-12)),
          key: key ?? null,
          value: data,
          headers: {},
          timestamp: 0,
        })),
      maxMessageBytes: MAX_RECORD_BYTES,
      openHandles: () => [
        ...openTimers(),
        ...process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Connect/i.test(name)),
      ],
    }),
  };
}
