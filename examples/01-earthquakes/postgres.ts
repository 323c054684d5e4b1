import type { Kysely, Transaction } from 'kysely';
import { postgresOutboxStore, postgresSchema } from 'rxsluice/postgres';
import { givenDatabase, openPostgres } from '../../spec/servers/open-postgres.js';
import { postgresTestClient } from '../../spec/servers/postgres-test-client.js';
import { CONCURRENCY } from './pipeline.js';
import type { QuakeDatabase } from './quake-database.js';

interface Tables {
  quakes: { id: string; network: string; magnitude: number; place: string };
}

/** Runs on the PostgreSQL that `DATABASE_URL` names, else on one that is started for it. Removes what was made. */
export async function onPostgres(use: (database: QuakeDatabase<Transaction<Tables>>) => Promise<void>): Promise<void> {
  const server = await openPostgres();
  const helper = postgresTestClient(server);
  try {
    const schema = await helper.createSchema();
    await helper.query(postgresSchema({ schema }));
    await helper.query(
      `CREATE TABLE ${schema}.quakes (id text NOT NULL, network text NOT NULL, magnitude real NOT NULL, place text NOT NULL)`,
    );
    const db: Kysely<Tables> = helper.newKysely<Tables>({ max: CONCURRENCY + 2 }).withSchema(schema);
    await use({
      name: givenDatabase() === undefined ? 'a PostgreSQL of its own' : 'the PostgreSQL of DATABASE_URL',
      outbox: postgresOutboxStore(db, { schema }),
      save: (tx, { id, properties: { net, mag, place } }) =>
        tx.insertInto('quakes').values({ id, network: net, magnitude: mag, place }).execute(),
      count: async () => {
        const { quakes } = await db
          .selectFrom('quakes')
          .select(({ fn }) => fn.countAll<string>().as('quakes'))
          .executeTakeFirstOrThrow();
        return Number(quakes);
      },
    });
  } finally {
    await helper.close();
    await server.stop();
  }
}
