import { describe, it } from '@jest/globals';
import { count, lastValueFrom } from 'rxjs';
import { ackEach, type DeadLetterFormat, type Position } from '../../lib/index.js';
import { fromKinesis, kinesisPublisher, type KinesisPosition } from '../../lib/kinesis.js';
import { memoryLeaseStore } from '../../lib/memory.js';
import { describeKinesis } from '../servers/describe-kinesis.js';
import type { KinesisTestClient } from '../servers/kinesis-test-client.js';
import type { CorpusEntry } from '../support/hostile-corpus/entry.js';
import { expectSound } from '../support/hostile-corpus/expect-sound.js';
import type { CorpusDriver, Letter } from '../support/hostile-corpus/run-corpus.js';
import { randomSeed } from '../support/seed.js';

// Data and key of a record, 1 MiB.
const MOST_BYTES = 1_048_576;
const MOST = { rss: 1_500, heap: 1_200 };
const SHAPE = { broker: 'kinesis', mostBytes: MOST_BYTES - 1, flood: 5_000 } as const;
// The test servers have no limits of their own.
const FAST = { leaseMs: 10_000, readIntervalMs: 20, pollMs: 20, checkpointIntervalMs: 50 } as const;
// kinesalite takes 7 MiB of JSON, in which the data are longer by a third.
const FITS = { maxBatchBytes: 4_000_000 } as const;

const seed = randomSeed();

describe.each(['kinesalite'] as const)('Kinesis, %s', (server) => {
  describeKinesis(server, `what would do harm, among 10,000 good messages of a stream, seed ${seed}`, (kinesis) => {
    it.each(['headers', 'json'] as const)(
      'is done, a dead letter or refused, each as it should; dead letters as %s',
      async (format) => expectSound(await kinesisDriver(kinesis(), format), SHAPE, { seed, format, most: MOST }),
    );
  });
});

async function kinesisDriver(kinesis: KinesisTestClient, format: DeadLetterFormat): Promise<CorpusDriver> {
  const client = kinesis.newKinesis();
  const stream = await kinesis.createStream({ shards: 2 });
  const dlq = await kinesis.createStream({ shards: 1 });
  const reading = { ...FAST, stream, consumer: 'billing', leases: memoryLeaseStore() };
  const isEnvelope = format === 'json';
  return {
    publisher: kinesisPublisher(client, { ...FITS, stream, headers: 'drop' }),
    deadLetters: kinesisPublisher(client, { ...FITS, stream: dlq, headers: isEnvelope ? 'drop' : 'json' }),
    source: (options) => fromKinesis(client, { ...reading, ...options }),
    idOf: (position: Position) => {
      const { shard, sequenceNumber } = position as KinesisPosition;
      return `${stream}/${shard}/${sequenceNumber}`;
    },
    sendRaw: async ({ make, count: parts }: CorpusEntry) => {
      const data = (): Uint8Array => make() as Uint8Array;
      const [place] = await kinesis.put(stream, 1, { key: () => 'a', data });
      const id = `${stream}/${place?.shard}/${place?.sequenceNumber}`;
      return parts === undefined ? [id] : Array.from({ length: parts }, (_, part) => `${id}/${part}`);
    },
    letters: async () =>
      (await kinesis.readAll(dlq)).map(({ data }) => (isEnvelope ? envelope(data) : withHeaders(data))),
    leftOver: () => lastValueFrom(fromKinesis(client, { ...reading, until: 'end' }).pipe(ackEach(), count())),
  };
}

/** `{ "headers": …, "value": … }`. */
function withHeaders(data: Uint8Array): Letter {
  const { headers } = JSON.parse(new TextDecoder().decode(data)) as { readonly headers: Letter['headers'] };
  return { headers, bytes: data.length };
}

interface Envelope {
  readonly error: {
    readonly class: string;
    readonly source: Readonly<Record<'topic' | 'partition' | 'position', string>>;
  };
  readonly sha256?: string;
}

/** `{ original, encoding, error, failed_at }`, or a value as it was. */
function envelope(data: Uint8Array): Letter {
  const bytes = data.length;
  try {
    const { error, sha256 } = JSON.parse(new TextDecoder().decode(data)) as Envelope;
    const { topic, partition, position } = error.source;
    const headers = {
      'dead-letter-error-class': error.class,
      'dead-letter-source-topic': topic,
      'dead-letter-source-partition': partition,
      'dead-letter-source-position': position,
      ...(sha256 === undefined ? {} : { 'dead-letter-value-sha256': sha256 }),
    };
    return { headers, bytes };
  } catch {
    return { headers: {}, bytes };
  }
}
