import type { PubSub } from '@google-cloud/pubsub';
import Table from 'cli-table3';
import { firstValueFrom, from, lastValueFrom, ReplaySubject } from 'rxjs';
import { pubsubPublisher } from '../lib/brokers/pubsub/pubsub-publisher.js';
import type { Message, PublisherConnection } from '../lib/index.js';
import { startPubSub } from '../spec/servers/pubsub.js';
import { pubsubTestClient } from '../spec/servers/pubsub-test-client.js';
import { median, spreadOf } from './median.js';

// Publishing to the gRPC fake in a process of its own, beside the client's publishMessage with the same batches.

const ROUNDS = 7;
const BYTES = 1_000;
// The calls of publish, and how many are under way at once.
const CALL = 1_000;
const CALLS_OUT = 4;
const LONELY = 200;
// The client's own largest.
const BATCHING = { maxMessages: 1_000, maxBytes: 9 * 1024 * 1024, maxMilliseconds: 1 };

interface Sender {
  send(messages: readonly Message[]): Promise<unknown>;
  close(): void;
}

interface Load {
  readonly what: string;
  readonly messages: number;
  readonly keys: number | null;
}

interface Cost {
  readonly perSecond: number;
  /** Of this process, for a million messages. */
  readonly cpuSeconds: number;
}

const LOADS: readonly Load[] = [
  { what: 'no keys', messages: 100_000, keys: null },
  { what: '100 ordering keys', messages: 50_000, keys: 100 },
  { what: '2,000 ordering keys', messages: 10_000, keys: 2_000 },
];

async function openOurs(pubsub: PubSub, topic: string): Promise<Sender> {
  const held = new ReplaySubject<PublisherConnection>(1);
  const holding = pubsubPublisher(pubsub, { topic }).connect().subscribe(held);
  const connection = await firstValueFrom(held);
  return {
    send: (messages) => lastValueFrom(from(connection.publish(messages))),
    close: () => holding.unsubscribe(),
  };
}

function openTheirs(pubsub: PubSub, name: string): Sender {
  const topic = pubsub.topic(name, { messageOrdering: true, batching: BATCHING });
  return {
    send: (messages) =>
      Promise.all(
        messages.map(({ key, value }) =>
          topic.publishMessage({ data: value, ...(key === undefined ? {} : { orderingKey: key as string }) }),
        ),
      ),
    close: () => undefined,
  };
}

async function bulk({ send }: Sender, calls: readonly (readonly Message[])[]): Promise<Cost> {
  const [cpu, begun] = [process.cpuUsage(), performance.now()];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let call = calls[next++]; call !== undefined; call = calls[next++]) await send(call);
  };
  await Promise.all(Array.from({ length: CALLS_OUT }, worker));
  const { user, system } = process.cpuUsage(cpu);
  const messages = calls.length * CALL;
  return {
    perSecond: messages / ((performance.now() - begun) / 1_000),
    cpuSeconds: (user + system) / messages,
  };
}

async function lonely({ send }: Sender): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < LONELY; i++) {
    const begun = performance.now();
    await send([{ value: Buffer.from('lonely') }]);
    times.push(performance.now() - begun);
  }
  return median(times);
}

/** Pairs of both sides, the order turned round each time; the first is to warm up. */
async function paired<T>(
  ours: Sender,
  theirs: Sender,
  run: (sender: Sender) => Promise<T>,
): Promise<{ ours: T; theirs: T }[]> {
  const pairs: { ours: T; theirs: T }[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const oursFirst = round % 2 === 0;
    const one = await run(oursFirst ? ours : theirs);
    const other = await run(oursFirst ? theirs : ours);
    if (round >= 0) pairs.push(oursFirst ? { ours: one, theirs: other } : { ours: other, theirs: one });
  }
  return pairs;
}

function rowOf(
  what: string,
  pairs: readonly { ours: number; theirs: number }[],
  ratio: 'more' | 'less',
  digits: number,
): string[] {
  const ratios = pairs.map(({ ours, theirs }) => (ratio === 'more' ? ours / theirs : theirs / ours));
  const shown = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: digits });
  return [
    what,
    shown(median(pairs.map(({ ours }) => ours))),
    shown(median(pairs.map(({ theirs }) => theirs))),
    spreadOf(ratios),
  ];
}

// Else the client looks for Google's machines first.
process.env['METADATA_SERVER_DETECTION'] = 'none';
const server = await startPubSub('fake');
const client = pubsubTestClient(server);
try {
  const topic = await client.createTopic();
  const pubsub = client.newPubSub();
  const [ours, theirs] = [await openOurs(pubsub, topic), openTheirs(pubsub, topic)];
  const table = new Table({
    head: [`${BYTES} B, calls of ${CALL}, ${CALLS_OUT} out`, 'pubsubPublisher', 'publishMessage', 'better by'],
  });
  for (const { what, messages, keys } of LOADS) {
    const all = Array.from({ length: messages }, (_, i) => ({
      value: Buffer.alloc(BYTES, 'x'),
      ...(keys === null ? {} : { key: `key-${(i * 7_919) % keys}` }),
    }));
    const calls = Array.from({ length: messages / CALL }, (_, i) => all.slice(i * CALL, (i + 1) * CALL));
    const pairs = await paired(ours, theirs, (sender) => bulk(sender, calls));
    const each = (of: (cost: Cost) => number) =>
      pairs.map((pair) => ({ ours: of(pair.ours), theirs: of(pair.theirs) }));
    table.push(
      rowOf(
        `${what}: messages/s`,
        each(({ perSecond }) => perSecond),
        'more',
        0,
      ),
    );
    table.push(
      rowOf(
        `${what}: CPU s per million`,
        each(({ cpuSeconds }) => cpuSeconds),
        'less',
        1,
      ),
    );
  }
  table.push(rowOf('a lonely message, ms', await paired(ours, theirs, lonely), 'less', 2));
  console.log(table.toString());
  ours.close();
} finally {
  await client.close();
  await server.stop();
}
