import { afterAll, beforeAll } from '@jest/globals';
import { describeIf } from './describe-if.js';
import { startPostgres, type PostgresServer, type StartPostgresOptions } from './postgres.js';
import { whyNoPostgres } from './why-no-postgres.js';

const missing = await whyNoPostgres();

/** A `describe` with a PostgreSQL of its own, for specs that stop or restart it; never the user's. */
export function describeOwnPostgres(
  name: string,
  specs: (server: () => PostgresServer) => void,
  options?: StartPostgresOptions,
): void {
  describeIf(name, missing, () => {
    let server: PostgresServer;
    beforeAll(async () => {
      server = await startPostgres(options);
    });
    afterAll(() => server?.stop());
    specs(() => server);
  });
}
