import Table from 'cli-table3';
import { postgresSchema } from '../lib/postgres.js';
import { byHand, dedupeByHand, POOL, rawInsert, throughDedupe, throughOutbox, type Work } from './outbox-effects.js';
import { fillOutbox, graphile, latencies, relay, transactionalOutbox } from './outbox-relay.js';
import { median } from './median.js';
import { onPostgres, paired, rate } from './postgres-bed.js';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const ONLY = process.env['ONLY'] ?? '';
const MESSAGES = 4_000;
const GROUPED = 20_000;
const KEYS = 50_000;
const ROWS = 20_000;
const RIVAL_ROWS = 2_000;
const BACKLOG = 1_000_000;
const LONELY = 100;

const table = new Table({ head: ['a second', 'ours', 'theirs', 'ours ÷ theirs', 'spread', 'bar'] });
const count = (value: number): string => Math.round(value).toLocaleString('en');

await onPostgres(async (postgres) => {
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema }));
  await postgres.query(
    `CREATE TABLE ${schema}.effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text)`,
  );
  const pool = postgres.newPool({ max: POOL + 2 });
  const wants = (what: string): boolean => ONLY === '' || what.includes(ONLY);
  const row = (what: string, result: Awaited<ReturnType<typeof paired>>, bar: number | string): void => {
    const { ours, theirs, ratio, spread } = result;
    table.push([what, count(ours), count(theirs), ratio.toFixed(2), spread, bar]);
    console.log(what, count(ours), count(theirs), ratio.toFixed(2), spread, bar);
  };

  const outbox = async (work: Work, group: number, bar: number): Promise<void> => {
    const what = `withOutbox, ${work}, group ${group}; one transaction a message`;
    if (!wants(what)) return;
    const many = group === 1 ? MESSAGES : GROUPED;
    const result = await paired(
      ROUNDS,
      async () => rate(many, await throughOutbox(pool, schema, many, work, group)),
      async () => rate(MESSAGES, await byHand(pool, schema, MESSAGES, work)),
    );
    row(what, result, bar);
  };
  await outbox('one statement', 1, 1);
  await outbox('one message', 1, 1);
  await outbox('one statement', 64, 3);
  await outbox('one message', 64, 10);

  if (wants('dedupe')) {
    const dedupes = await paired(
      ROUNDS,
      async () => rate(KEYS, await throughDedupe(pool, schema, KEYS, [])),
      async () => {
        const sizes: { call: 'claim' | 'confirm'; size: number }[] = [];
        await (
          await throughDedupe(pool, schema, KEYS, sizes)
        )();
        return rate(KEYS, dedupeByHand(pool, schema, sizes));
      },
    );
    row('dedupe: claim and confirm; the same by hand', dedupes, 0.9);
    const raw = await paired(
      ROUNDS,
      async () => rate(KEYS, await throughDedupe(pool, schema, KEYS, [])),
      () => rate(KEYS, rawInsert(pool, schema, KEYS, 500)),
    );
    row('dedupe; one unnest insert of 500', raw, 'given');
  }

  const relayed = async (backlog: number): Promise<number> => {
    await fillOutbox(pool, schema, backlog);
    return rate(ROWS, relay(pool, schema, ROWS));
  };
  if (wants('relay; graphile')) {
    const result = await paired(
      ROUNDS,
      () => relayed(ROWS),
      async () => rate(ROWS, await graphile(pool, ROWS)),
    );
    row('relay; graphile-worker, batched', result, 1);
  }
  if (wants('relay; pg-transactional')) {
    const result = await paired(
      2,
      () => relayed(ROWS),
      async () => rate(RIVAL_ROWS, await transactionalOutbox(pool, postgres.url, RIVAL_ROWS)),
    );
    row('relay; pg-transactional-outbox, tuned', result, 20);
  }
  if (wants('relay, 1 M'))
    row(
      'relay, 1 M of backlog; 20 k',
      await paired(
        3,
        () => relayed(BACKLOG),
        () => relayed(ROWS),
      ),
      1,
    );
  if (wants('latency')) {
    for (const notify of [true, false]) {
      const times = await latencies(pool, schema, LONELY, notify);
      const p99 = times[Math.floor(times.length * 0.99)] as number;
      const text = `p50 ${median(times).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
      table.push([`a lonely message, ${notify ? 'NOTIFY' : 'polling'}`, text, '', '', '', notify ? '15 ms' : '110 ms']);
      console.log(notify, text);
    }
  }
});
console.log(table.toString());
