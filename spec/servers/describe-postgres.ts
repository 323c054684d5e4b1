import { afterAll, beforeAll } from '@jest/globals';
import { describeIf } from './describe-if.js';
import { givenDatabase } from './open-postgres.js';
import { postgresTestClient, type PostgresTestClient } from './postgres-test-client.js';
import { sharedPostgres } from './shared-postgres.js';
import { whyNoPostgres } from './why-no-postgres.js';

const missing = givenDatabase() === undefined ? await whyNoPostgres() : undefined;

/**
 * A `describe` on the PostgreSQL that all spec files of a run share: the user's (`DATABASE_URL`), or one that the first
 * of them starts. `postgres()` is for the tests and hooks inside; the schemas made through it are dropped afterwards.
 */
export function describePostgres(name: string, specs: (postgres: () => PostgresTestClient) => void): void {
  describeIf(name, missing, () => {
    let client: PostgresTestClient;
    beforeAll(async () => {
      client = postgresTestClient(await sharedPostgres());
    });
    afterAll(() => client?.close());
    specs(() => client);
  });
}
