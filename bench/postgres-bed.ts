import { startPostgres } from '../spec/servers/postgres.js';
import { givenDatabase } from '../spec/servers/open-postgres.js';
import { postgresTestClient, type PostgresTestClient } from '../spec/servers/postgres-test-client.js';
import { median } from './median.js';

/** Runs on the PostgreSQL of `DATABASE_URL`, else on one that it starts, with its own settings of durability (fsync on). */
export async function onPostgres(work: (postgres: PostgresTestClient) => Promise<void>): Promise<void> {
  const given = givenDatabase();
  const server = given === undefined ? await startPostgres({ config: { shared_buffers: '512MB' } }) : null;
  const postgres = postgresTestClient({ url: server?.url ?? (given as string) });
  try {
    await work(postgres);
  } finally {
    await postgres.close();
    await server?.stop();
  }
}

/** What a comparison took, in rounds that alternate; the first pair only warms up. */
export async function paired(
  rounds: number,
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
): Promise<{ readonly ours: number; readonly theirs: number; readonly ratio: number; readonly spread: string }> {
  const pairs: { ours: number; theirs: number }[] = [];
  for (let round = 0; round <= rounds; round++) {
    const first = round % 2 === 0 ? await ours() : await theirs();
    const second = round % 2 === 0 ? await theirs() : await ours();
    const pair = round % 2 === 0 ? { ours: first, theirs: second } : { ours: second, theirs: first };
    if (round > 0) pairs.push(pair);
  }
  const ratios = pairs.map((pair) => pair.ours / pair.theirs);
  return {
    ours: median(pairs.map((pair) => pair.ours)),
    theirs: median(pairs.map((pair) => pair.theirs)),
    ratio: median(ratios),
    spread: `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`,
  };
}

/** How many of something a second. */
export async function rate(count: number, work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (count / (performance.now() - begun)) * 1_000;
}
