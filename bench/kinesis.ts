import type { Kinesis } from '@aws-sdk/client-kinesis';
import Table from 'cli-table3';
import { lastValueFrom, NEVER, take } from 'rxjs';
import { ackEach, handle } from '../lib/index.js';
import { fromKinesis } from '../lib/kinesis.js';
import { memoryLeaseStore } from '../lib/memory.js';
import { startKinesis } from '../spec/servers/kinesis.js';
import { kinesisTestClient } from '../spec/servers/kinesis-test-client.js';
import { median, spreadOf } from './median.js';

// Polling without pauses, beside a bare loop over getRecords with the same client and page size; then a stalled handler.

const ROUNDS = 7;
const SHARDS = 4;
const RECORDS = 60_000;
const PAGE = 1_000;
const STALLED = 200_000;
const SETTLE_MS = 5_000;
const WATCH_MS = 15_000;

let consumers = 0;
let touched = 0;

/** A loop a shard, which touches each record. */
async function raw(kinesis: Kinesis, stream: string): Promise<void> {
  const { Shards = [] } = await kinesis.listShards({ StreamName: stream });
  let left = RECORDS;
  await Promise.all(
    Shards.map(async ({ ShardId }) => {
      const from = { StreamName: stream, ShardId, ShardIteratorType: 'TRIM_HORIZON' } as const;
      let { ShardIterator } = await kinesis.getShardIterator(from);
      while (left > 0 && ShardIterator !== undefined) {
        const page = await kinesis.getRecords({ ShardIterator, Limit: PAGE });
        for (const { Data } of page.Records ?? []) touched += Data?.[0] ?? 0;
        left -= page.Records?.length ?? 0;
        ShardIterator = page.NextShardIterator;
      }
    }),
  );
}

function source(kinesis: Kinesis, stream: string) {
  return fromKinesis(kinesis, {
    stream,
    consumer: `bench-${consumers++}`,
    leases: memoryLeaseStore(),
    recordsPerRead: PAGE,
    readIntervalMs: 0,
  });
}

async function ours(kinesis: Kinesis, stream: string): Promise<void> {
  await lastValueFrom(source(kinesis, stream).pipe(ackEach(), take(RECORDS)));
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return RECORDS / ((performance.now() - began) / 1_000);
}

async function stalled(kinesis: Kinesis, stream: string): Promise<string> {
  const subscription = source(kinesis, stream)
    .pipe(
      handle(() => NEVER, { concurrency: 64 }),
      ackEach(),
    )
    .subscribe();
  await pause(SETTLE_MS);
  const before = process.memoryUsage().rss;
  let most = 0;
  for (let at = 0; at < WATCH_MS; at += 1_000) {
    await pause(1_000);
    most = Math.max(most, process.memoryUsage().rss - before);
  }
  subscription.unsubscribe();
  return (
    `Stalled handler on a stream of ${STALLED.toLocaleString('en')}: RSS ${(before / 2 ** 20).toFixed(0)} MB after ` +
    `${SETTLE_MS / 1_000} s, then at most ${(most / 2 ** 20).toFixed(1)} MB more in ${WATCH_MS / 1_000} s (bar: 20).`
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const server = await startKinesis('kinesalite');
const client = kinesisTestClient(server);
try {
  const kinesis = client.newKinesis();
  const data = (n: number): string => `${n}`.padEnd(200, 'x');
  const stream = await client.createStream({ shards: SHARDS });
  await client.put(stream, RECORDS, { key: (n) => `key-${n}`, data });
  const pairs: { readonly ours: number; readonly theirs: number }[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const oursFirst = round % 2 === 0;
    const one = await timed(() => (oursFirst ? ours : raw)(kinesis, stream));
    const other = await timed(() => (oursFirst ? raw : ours)(kinesis, stream));
    if (round >= 0) pairs.push(oursFirst ? { ours: one, theirs: other } : { ours: other, theirs: one });
  }
  const ratios = pairs.map((pair) => pair.ours / pair.theirs);
  const table = new Table({
    head: [`${RECORDS.toLocaleString('en')} records, ${SHARDS} shards`, 'ours', 'raw', 'ours ÷ raw', 'bar'],
  });
  table.push([
    'records/s',
    Math.round(median(pairs.map((pair) => pair.ours))).toLocaleString('en'),
    Math.round(median(pairs.map((pair) => pair.theirs))).toLocaleString('en'),
    spreadOf(ratios),
    '0.9',
  ]);
  console.log(table.toString());
  const long = await client.createStream({ shards: SHARDS });
  await client.put(long, STALLED, { key: (n) => `key-${n}`, data });
  console.log(await stalled(kinesis, long));
  if (touched < 0) console.log(touched);
} finally {
  await client.close();
  await server.stop();
}
