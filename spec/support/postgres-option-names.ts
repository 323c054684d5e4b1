import { postgresIdempotencyStore, postgresOutboxStore } from '../../lib/postgres.js';

/** The options that a store takes, by what it says of one that it does not know: "…; there are a, b." */
function namesBy(make: () => unknown): string[] {
  try {
    make();
  } catch (error) {
    const [, names = ''] = /there are (.*)\.$/.exec((error as Error).message) ?? [];
    return names.split(', ');
  }
  return [];
}

export function idempotencyOptionNames(): string[] {
  return namesBy(() => postgresIdempotencyStore({} as never, { unknownOption: 1 } as never));
}

export function outboxOptionNames(): string[] {
  return namesBy(() => postgresOutboxStore({} as never, { unknownOption: 1 } as never));
}
