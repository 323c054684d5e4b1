import type { OpenPostgres } from './open-postgres.js';
import { sharedServer } from './shared-server.js';

/** The PostgreSQL that all spec files of a Jest run share. */
export function sharedPostgres(): Promise<Omit<OpenPostgres, 'stop'>> {
  return sharedServer('postgres');
}
