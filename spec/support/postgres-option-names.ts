import { postgresIdempotencyStore, postgresLeaseStore, postgresOutboxStore } from '../../lib/postgres.js';

/** The options that a store takes, by what it says of one that it does not know: "…; there are a, b." */
function namesBy(make: (db: never, options: never) => unknown): string[] {
  try {
    make({} as never, { unknownOption: 1 } as never);
  } catch (error) {
    const [, names = ''] = /there are (.*)\.$/.exec((error as Error).message) ?? [];
    return names.split(', ');
  }
  return [];
}

/** By the name of the store. */
export function postgresOptionNames(): Readonly<Record<string, readonly string[]>> {
  const stores = { postgresIdempotencyStore, postgresOutboxStore, postgresLeaseStore };
  return Object.fromEntries(Object.entries(stores).map(([name, store]) => [name, namesBy(store)]));
}
