import Table from 'cli-table3';
import { filledTopic, onKafka } from './kafka-topic.js';
import { idealSeconds, work } from './kafka-work.js';

const BARS = { 4: { 64: 0.9, 256: 0.8, 1_000: 0.45 }, 1: { 64: 0.9, 256: 0.75, 1_000: 0.3 } } as const;
const ZIPF_KEYS = 10_000;

void onKafka(async (client) => {
  const table = new Table({
    head: ['5 ms of work, in key order', 'records/s', 'mean work ms', 'of the possible', 'bar', 'order broken'],
  });
  for (const partitions of [4, 1] as const) {
    for (const concurrency of [64, 256, 1_000] as const) {
      const records = concurrency * 400;
      const topic = await filledTopic(client, records, { partitions });
      const { perSecond, meanWorkMs, share, unordered } = await work(client.brokers, topic, records, concurrency);
      table.push([
        `${partitions} partition(s), handle at ${concurrency}`,
        Math.round(perSecond).toLocaleString('en'),
        meanWorkMs.toFixed(2),
        share.toFixed(2),
        BARS[partitions][concurrency],
        unordered,
      ]);
    }
  }
  const records = 50_000;
  const keys = zipf(records);
  const topic = await filledTopic(client, records, { key: (index) => keys[index] as string });
  const { perSecond, meanWorkMs, unordered } = await work(client.brokers, topic, records, 64);
  const ideal = records / idealSeconds(keys, 64, meanWorkMs);
  table.push([
    `Zipf keys (s = 1, ${ZIPF_KEYS}), 4 partitions, handle at 64`,
    Math.round(perSecond).toLocaleString('en'),
    meanWorkMs.toFixed(2),
    `${(perSecond / ideal).toFixed(2)} of an ideal scheduler`,
    0.9,
    unordered,
  ]);
  console.log(table.toString());
});

function zipf(count: number): string[] {
  const weights = Array.from({ length: ZIPF_KEYS }, (_, rank) => 1 / (rank + 1));
  const sums: number[] = [];
  weights.reduce((sum, weight, rank) => (sums[rank] = sum + weight), 0);
  const total = sums[ZIPF_KEYS - 1] as number;
  let state = 42;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: count }, () => {
    const at = next() * total;
    let low = 0;
    let high = ZIPF_KEYS - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) < at) low = middle + 1;
      else high = middle;
    }
    return `key-${low}`;
  });
}
