import Table from 'cli-table3';
import { acked, ours, raw, worked } from './kafka-consume.js';
import type { Taken } from './kafka-clock.js';
import { filledTopic, MILLION, onKafka } from './kafka-topic.js';
import { median, spreadOf } from './median.js';

const ROUNDS = Number(process.env['ROUNDS'] ?? 7);

void onKafka(async (client) => {
  const { brokers } = client;
  const topic = await filledTopic(client, MILLION);
  const contenders: Record<string, () => Promise<Taken>> = {
    'kafkajs, a commit awaited each batch': () => raw(brokers, topic, MILLION, 'each batch'),
    'fromKafka, ackEach': () => ours(brokers, topic, MILLION, acked),
    'kafkajs, commits beside the reading': () => raw(brokers, topic, MILLION, 'beside'),
    'fromKafka, ordered, retryToDlq, handle, ackEach': () => ours(brokers, topic, MILLION, worked),
  };
  const names = Object.keys(contenders);
  const rounds: Record<string, Taken>[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const taken: Record<string, Taken> = {};
    const order = round % 2 === 0 ? names : [...names].reverse();
    for (const name of order) taken[name] = await (contenders[name] as () => Promise<Taken>)();
    if (round > 0) rounds.push(taken);
  }
  const table = new Table({
    head: ['1,000,000 records, 4 partitions', 'records/s', 'CPU s', 'commits', '÷ awaited', '÷ beside'],
  });
  const [awaited, , beside] = names as [string, string, string];
  for (const name of names) {
    const mine = rounds.map((round) => round[name] as Taken);
    const ratio = (other: string): string => {
      const ratios = rounds.map((round) => (round[other] as Taken).seconds / (round[name] as Taken).seconds);
      return spreadOf(ratios);
    };
    table.push([
      name,
      Math.round(MILLION / median(mine.map(({ seconds }) => seconds))).toLocaleString('en'),
      median(mine.map(({ cpuSeconds }) => cpuSeconds)).toFixed(1),
      median(mine.map(({ commits }) => commits)),
      ratio(awaited),
      ratio(beside),
    ]);
  }
  console.log(table.toString());
  console.log('Bars: ackEach 1.1 and 0.9, with the three operators 1.0 and 0.8.');
});
