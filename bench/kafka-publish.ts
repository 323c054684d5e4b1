import Table from 'cli-table3';
import { firstValueFrom, from, lastValueFrom, ReplaySubject, type Subscription } from 'rxjs';
import type { PublisherConnection } from '../lib/index.js';
import { kafkaPublisher } from '../lib/kafka.js';
import { kafkaAt } from './kafka-clock.js';
import { onKafka, recordOf } from './kafka-topic.js';
import { median, spreadOf } from './median.js';

const RECORDS = 200_000;
const BATCH = 1_000;
const ROUNDS = 7;
const LONELY = 200;

interface Sender {
  send(values: readonly { readonly key: string; readonly value: string }[]): Promise<unknown>;
  close(): Promise<void>;
}

void onKafka(async (client) => {
  const topic = await client.createTopic({ prefix: 'bench' });
  const ours = await openOurs(client.brokers, topic);
  const theirs = await openRaw(client.brokers, topic);
  const batches = Array.from({ length: RECORDS / BATCH }, (_, batch) =>
    Array.from({ length: BATCH }, (_, i) => {
      const index = batch * BATCH + i;
      return { key: `key-${(index * 7919) % 10_000}`, value: recordOf(index) };
    }),
  );
  const bulk = async (sender: Sender): Promise<number> => {
    const begun = performance.now();
    for (const batch of batches) await sender.send(batch);
    return (performance.now() - begun) / 1_000;
  };
  const lonely = async (sender: Sender): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < LONELY; i++) {
      const begun = performance.now();
      await sender.send([{ key: 'key', value: 'lonely' }]);
      times.push(performance.now() - begun);
    }
    return median(times);
  };
  const rounds: { ours: number; theirs: number; lonelyOurs: number; lonelyTheirs: number }[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const even = round % 2 === 0;
    const first = even ? ours : theirs;
    const second = even ? theirs : ours;
    const [a, b] = [await bulk(first), await bulk(second)];
    const [c, d] = [await lonely(first), await lonely(second)];
    const [mine, other] = even ? [a, b] : [b, a];
    const [lonelyOurs, lonelyTheirs] = even ? [c, d] : [d, c];
    if (round > 0) rounds.push({ ours: mine, theirs: other, lonelyOurs, lonelyTheirs });
  }
  await ours.close();
  await theirs.close();
  const ratios = rounds.map((round) => round.theirs / round.ours);
  const table = new Table({
    head: [`${RECORDS} records in batches of ${BATCH}`, 'kafkaPublisher', 'kafkajs sendBatch', 'bar'],
  });
  table.push(
    ['records/s', perSecond(rounds.map((round) => round.ours)), perSecond(rounds.map((round) => round.theirs)), ''],
    ['theirs ÷ ours, paired', spreadOf(ratios), '', '0.95'],
    [
      'a lonely message, ms',
      median(rounds.map((round) => round.lonelyOurs)).toFixed(2),
      median(rounds.map((round) => round.lonelyTheirs)).toFixed(2),
      'linger (0) + 2 ms',
    ],
  );
  console.log(table.toString());
});

function perSecond(seconds: readonly number[]): string {
  return Math.round(RECORDS / median(seconds)).toLocaleString('en');
}

async function openOurs(brokers: readonly string[], topic: string): Promise<Sender> {
  const held = new ReplaySubject<PublisherConnection>(1);
  const holding: Subscription = kafkaPublisher(kafkaAt(brokers), { topic }).connect().subscribe(held);
  const connection = await firstValueFrom(held);
  return {
    send: (messages) => lastValueFrom(from(connection.publish(messages))),
    close: () => Promise.resolve(holding.unsubscribe()),
  };
}

async function openRaw(brokers: readonly string[], topic: string): Promise<Sender> {
  const producer = kafkaAt(brokers).producer({ idempotent: true });
  await producer.connect();
  return {
    send: (messages) => producer.sendBatch({ acks: -1, topicMessages: [{ topic, messages: [...messages] }] }),
    close: () => producer.disconnect(),
  };
}
