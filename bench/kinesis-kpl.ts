import { createHash, randomBytes } from 'node:crypto';
import Table from 'cli-table3';
import { deaggregate } from '../lib/brokers/kinesis/kpl-decode.js';
import { md5 } from '../lib/brokers/kinesis/md5.js';
import { aggregateByAws, deaggregateByAws } from '../spec/support/aws-kinesis-agg.js';
import { contenderIndex, serve } from './contenders.js';
import { compare, type Comparison, type Side } from './rounds.js';

// De-aggregation beside AWS' own package for Node, both with the checksum verified; and what the checksum alone takes.

const ROUNDS = Number(process.env['ROUNDS'] ?? 9);
const MESSAGES = 100;
const DATA_BYTES = 200;
// So many that a round is long enough to be timed, in other memory each time.
const AGGREGATES = 50;
const PASSES = 40;
const EVERYWHERE = { start: 0n, end: 2n ** 128n - 1n };

/** One turn of a pass over all aggregates; nanoseconds a message. */
function side(name: string, keys: number, work: (data: Uint8Array) => number): Side {
  const aggregates = Array.from({ length: AGGREGATES }, (_, aggregate) =>
    aggregateByAws(
      Array.from({ length: MESSAGES }, (_, message) => ({
        partitionKey: `order-${aggregate}-${100_000 + (message % keys)}`,
        data: randomBytes(DATA_BYTES),
      })),
    ),
  );
  return {
    name,
    run: () => {
      const begun = performance.now();
      for (let pass = 0; pass < PASSES; pass++) {
        for (const data of aggregates) {
          if (work(data) !== MESSAGES) throw new Error(`${name} did not read all messages.`);
        }
      }
      return Promise.resolve(((performance.now() - begun) * 1e6) / (PASSES * AGGREGATES * MESSAGES));
    },
  };
}

const ApproximateArrivalTimestamp = new Date();
const oursUnder = (PartitionKey: string) => (Data: Uint8Array) =>
  deaggregate({ SequenceNumber: '4959', Data, PartitionKey, ApproximateArrivalTimestamp }, EVERYWHERE).length;
const theirs = (data: Uint8Array): number => deaggregateByAws(data).length;

const ourSum = (data: Uint8Array): number =>
  md5(new DataView(data.buffer, data.byteOffset, data.length), 4, data.length - 16).byteLength === 16 ? MESSAGES : 0;
const nodesSum = (data: Uint8Array): number =>
  createHash('md5').update(data.subarray(4, -16)).digest().length === 16 ? MESSAGES : 0;

const deaggregation = (what: string, keys: number, key: string): Comparison => ({
  what: `${what}, ${keys} keys`,
  ours: side('deaggregate', keys, oursUnder(key)),
  theirs: side('aws-kinesis-agg', keys, theirs),
  bar: 2,
});

const comparisons: readonly Comparison[] = [
  deaggregation('100 messages of 200 bytes', 100, 'outer'),
  deaggregation('100 messages of 200 bytes', 10, 'outer'),
  // `a` is the key of the KPL's own aggregates: with it each key is hashed, to see whether it belongs to the shard.
  deaggregation('the same by the KPL, range of the shard checked', 100, 'a'),
  deaggregation('the same by the KPL, range of the shard checked', 10, 'a'),
  {
    what: 'the checksum alone',
    ours: side('md5', 10, ourSum),
    theirs: side("Node's, OpenSSL", 10, nodesSum),
    bar: 0, // told, not asked for: native code
  },
];

void main();

async function main(): Promise<void> {
  const index = contenderIndex();
  if (index !== null) {
    serve((comparisons.flatMap(({ ours, theirs }) => [ours, theirs])[index] as Side).run);
    return;
  }
  const table = new Table({ head: ['a message, paired rounds', 'ours', 'theirs', 'theirs ÷ ours', 'spread', 'bar'] });
  for (const [at, comparison] of comparisons.entries()) {
    const { what, ours, theirs, ratio, spread, bar } = await compare(comparison, 2 * at, ROUNDS);
    table.push([
      what,
      ours,
      theirs,
      ratio.toFixed(2),
      spread,
      bar === 0 ? '-' : `${bar} ${ratio >= bar ? 'met' : 'NOT MET'}`,
    ]);
  }
  console.log(table.toString());
}
