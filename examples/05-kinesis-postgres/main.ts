// Kinesis → PostgreSQL, by two workers, through a split. On DATABASE_URL or an embedded PostgreSQL, and kinesalite.
import { lastValueFrom, merge, scan, tap } from 'rxjs';
import { publish } from 'rxsluice';
import { fromKinesis, kinesisPublisher } from 'rxsluice/kinesis';
import { postgresLeaseStore, postgresOutboxStore, postgresSchema } from 'rxsluice/postgres';
import { startKinesis } from '../../spec/servers/kinesis.js';
import { kinesisTestClient } from '../../spec/servers/kinesis-test-client.js';
import { openPostgres } from '../../spec/servers/open-postgres.js';
import { postgresTestClient } from '../../spec/servers/postgres-test-client.js';
import { countViews, type Tables } from './pipeline.js';

const VIEWS = 1_000;
const PAGES = 20;

const [server, database] = [await startKinesis('kinesalite'), await openPostgres()];
const [streams, postgres] = [kinesisTestClient(server), postgresTestClient(database)];
try {
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema }));
  await postgres.query(`CREATE TABLE ${schema}.page_views (page text PRIMARY KEY, views int)`);
  const [views, dlq] = [await streams.createStream({ shards: 2 }), await streams.createStream({ shards: 1 })];
  const kinesis = streams.newKinesis();

  // Each view is sent twice.
  const send = (from: number, to: number) =>
    lastValueFrom(
      publish(
        kinesisPublisher(kinesis, { stream: views }),
        Array.from({ length: to - from }, (_, n) => {
          const page = `/page-${(from + n) % PAGES}`;
          return { key: page, value: JSON.stringify({ id: `view-${(from + n) % VIEWS}`, page }) };
        }),
      ),
    );

  const store = postgresOutboxStore(postgres.newKysely<Tables>({ max: 10 }).withSchema(schema), { schema });
  const leases = postgresLeaseStore(postgres.newPool({ max: 4 }), { schema });
  const stop = new AbortController();
  const worker = (name: string) =>
    countViews({
      views: fromKinesis(kinesis, {
        stream: views,
        consumer: 'views',
        leases,
        worker: name,
        leaseMs: 3_000,
        stop: stop.signal,
      }),
      store,
      deadLetters: kinesisPublisher(kinesis, { stream: dlq, headers: 'drop' }),
    });
  const counted = lastValueFrom(
    merge(worker('ann'), worker('bob')).pipe(
      scan((ids, id) => ids.add(id), new Set<string>()),
      // Every view was counted; then all that is out is done and checkpointed.
      tap(({ size }) => size === VIEWS && stop.abort()),
    ),
  );
  await send(0, VIEWS);
  const [first] = await streams.shards(views);
  await streams.split(views, first?.id ?? '');
  await send(VIEWS, 2 * VIEWS);
  await counted;

  const [row] = await postgres.query<{ pages: number; views: number }>(
    `SELECT count(*)::int AS pages, sum(views)::int AS views FROM ${schema}.page_views`,
  );
  console.log(`${2 * VIEWS} messages in, ${row?.views} views of ${row?.pages} pages counted`);
  if (row?.views !== VIEWS || row.pages !== PAGES) process.exitCode = 1;
} finally {
  await Promise.all([streams.close(), postgres.close()]);
  await Promise.all([server.stop(), database.stop()]);
}
