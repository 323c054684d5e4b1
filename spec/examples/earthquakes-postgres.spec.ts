import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { describeIf } from '../servers/describe-if.js';
import { describePostgres } from '../servers/describe-postgres.js';
import type { PostgresTestClient } from '../servers/postgres-test-client.js';
import { whyNoPostgres } from '../servers/why-no-postgres.js';
import { runExample, type ExampleRun } from '../support/run-example.js';

const earthquakes = (env: Readonly<Record<string, string>>, interruptAt?: string): Promise<ExampleRun> =>
  runExample('01-earthquakes', { env, ...(interruptAt !== undefined && { interruptAt }) });

/** Those of the example: other specs use the server meanwhile. */
async function schemas(postgres: PostgresTestClient): Promise<string[]> {
  const sql = `SELECT schemaname FROM pg_tables WHERE tablename = 'quakes' ORDER BY 1`;
  return (await postgres.query<{ schemaname: string }>(sql)).map(({ schemaname }) => schemaname);
}

const SUMS = ['3,414', '1,635', '144', 'Alerts', ' 85 ', 'The sums add up'];

describePostgres('the earthquakes example on a given PostgreSQL', (postgres) => {
  it('comes to the same sums, and leaves no schema behind', async () => {
    const before = await schemas(postgres());
    const { code, stdout, stderr } = await earthquakes({ DATABASE_URL: postgres().url });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const text of ['with the PostgreSQL of DATABASE_URL', ...SUMS]) expect(stdout).toContain(text);
    await expect(schemas(postgres())).resolves.toEqual(before);
  });

  it('stops cleanly at Ctrl-C, and leaves nothing behind either', async () => {
    const before = await schemas(postgres());
    const { code, stdout, stderr } = await earthquakes({ DATABASE_URL: postgres().url }, 'messages settled');
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    expect(stdout).toContain('Stopped: what was out has settled');
    await expect(schemas(postgres())).resolves.toEqual(before);
  });
});

describeIf('the earthquakes example on a PostgreSQL of its own', await whyNoPostgres(), () => {
  it('starts one, comes to the same sums, and leaves nothing behind', async () => {
    const temp = await mkdtemp(join(tmpdir(), 'rxsluice-temp-'));
    // The account that the server runs as must reach its folder.
    await chmod(temp, 0o755);
    try {
      const { code, stdout, stderr } = await earthquakes({ DATABASE_URL: '', TMPDIR: temp });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      for (const text of ['with a PostgreSQL of its own', ...SUMS]) expect(stdout).toContain(text);
      expect((await readdir(temp)).filter((name) => name.startsWith('rxsluice'))).toEqual([]);
    } finally {
      await rm(temp, { recursive: true });
    }
  });
});
