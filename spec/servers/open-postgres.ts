import { startPostgres, type StartPostgresOptions } from './postgres.js';

/** A PostgreSQL to work with, ours or the user's. */
export interface OpenPostgres {
  /** How to connect, password included. */
  readonly url: string;
  /** Ends what was started for this; the user's server is left alone. */
  stop(): Promise<void>;
}

/** The user's server, `DATABASE_URL`, else one that is started here. */
export async function openPostgres(options?: StartPostgresOptions): Promise<OpenPostgres> {
  const url = givenDatabase();
  return url === undefined ? startPostgres(options) : { url, stop: () => Promise.resolve() };
}

/** What `DATABASE_URL` names, if it is set. */
export function givenDatabase(): string | undefined {
  const url = process.env['DATABASE_URL'];
  return url === '' ? undefined : url;
}
