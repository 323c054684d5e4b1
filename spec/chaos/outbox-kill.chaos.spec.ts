import { expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { postgresSchema } from '../../lib/postgres.js';
import { choices, type Choices } from '../model/random.js';
import { describeKafka } from '../servers/describe-kafka.js';
import { describePostgres } from '../servers/describe-postgres.js';
import type { KafkaTestClient } from '../servers/kafka-test-client.js';
import type { PostgresTestClient } from '../servers/postgres-test-client.js';
import { createMembers, type Members } from './members.js';
import type { OutboxMemberSettings } from './outbox-member.js';

const SOAK = process.env['RXSLUICE_SOAK'] === '1';
const KILLS = SOAK ? 100 : 20;
const DEDUPE_KILLS = SOAK ? 100 : 8;
const SEED = Number(process.env['RXSLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const MESSAGES_A_KILL = 300;
const MORE_MESSAGES = 100;
const KEYS = 50;
const MAX_TIMES = 6;

const CONSUMER_POINTS = ['begun', 'recorded', 'handling', 'handled', 'committing', 'committed'] as const;
const RELAY_POINTS = ['claiming', 'claimed', 'publishing', 'published', 'acking', 'marking', 'marked'] as const;
const DEDUPE_POINTS = ['claiming', 'claimed', 'handling', 'handled', 'confirming', 'confirmed'] as const;

interface World extends Omit<OutboxMemberSettings, 'role'> {
  readonly kafka: KafkaTestClient;
  readonly postgres: PostgresTestClient;
  readonly choice: Choices;
  readonly members: Members<OutboxMemberSettings>;
}

async function inWorld(kafka: KafkaTestClient, postgres: PostgresTestClient, work: (world: World) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), 'rxsluice-outbox-'));
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema }));
  await postgres.query(`CREATE TABLE ${schema}.effects (n bigint GENERATED ALWAYS AS IDENTITY, id text NOT NULL)`);
  const settings = {
    brokers: [...kafka.brokers],
    input: await kafka.createTopic({ partitions: 4 }),
    output: await kafka.createTopic({ partitions: 4 }),
    groupId: kafka.groupId(),
    url: postgres.url,
    schema,
    file: join(folder, 'log'),
  };
  const members = createMembers<OutboxMemberSettings>(new URL('outbox-member.ts', import.meta.url));
  try {
    await work({ ...settings, kafka, postgres, members, choice: choices(SEED) });
  } finally {
    await members.end();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Kills one member after another under load: at a point of its own first, then at random. */
async function killAll(
  { kafka, choice, members, input, ...world }: World,
  kills: number,
  points: readonly (readonly [OutboxMemberSettings['role'], string])[],
): Promise<{ readonly produced: number; readonly log: readonly string[] }> {
  const settings = (role: OutboxMemberSettings['role']): OutboxMemberSettings => ({
    role,
    input,
    brokers: world.brokers,
    output: world.output,
    groupId: world.groupId,
    url: world.url,
    schema: world.schema,
    file: world.file,
  });
  const roles = [...new Set(points.map(([role]) => role))];
  for (const role of [...roles, ...roles]) members.start(settings(role));
  const log: string[] = [];
  let produced = 0;
  const produce = async (count: number): Promise<void> => {
    await kafka.produce(input, count, { first: produced, key: (n) => `key-${n % KEYS}` });
    produced += count;
  };
  for (let kill = 0; kill < kills; kill++) {
    const named = points[kill];
    const [role, point] = named ?? [roles[choice.below(roles.length)] as OutboxMemberSettings['role'], 'random'];
    if (named !== undefined) members.start(settings(role), `${point}:${1 + choice.below(MAX_TIMES)}`);
    const died = members.killed(role);
    await produce(MESSAGES_A_KILL);
    if (named === undefined) {
      await pause(1_500 * choice.next());
      members.kill(role, choice.below(2));
      members.start(settings(role));
    } else {
      // The others may have done all before it joins them, and then it never comes to its point.
      let isDead = await soon(died, 1_000);
      for (let seconds = 1; seconds < 20 && !isDead; seconds++) {
        await produce(MORE_MESSAGES);
        isDead = await soon(died, 1_000);
      }
      if (!isDead) members.kill(role, choice.below(3));
    }
    log.push(`${role} ${point}`);
  }
  return { produced, log };
}

describeKafka('killed consumers and relays (I1, I9)', (kafka) => {
  describePostgres('with an outbox', (postgres) => {
    // Side by side: most of the time they wait until the broker misses those that were killed.
    it.concurrent(
      `leave each effect exactly once and publish each message in order, ${KILLS} kills`,
      () =>
        inWorld(kafka(), postgres(), async (world) => {
          const points = [
            ...CONSUMER_POINTS.map((point) => ['consumer', point] as const),
            ...RELAY_POINTS.map((point) => ['relay', point] as const),
          ];
          const { produced, log } = await killAll(world, KILLS, points);
          const { schema, output } = world;
          const pending = `SELECT count(*)::int AS n FROM ${schema}.outbox WHERE published_at IS NULL`;
          const effects = `SELECT count(*)::int AS n FROM ${schema}.effects`;
          const count = async (sql: string): Promise<number> =>
            (await postgres().query<{ n: number }>(sql))[0]?.n ?? -1;
          await until(async () => (await count(effects)) >= produced && (await count(pending)) === 0, 600_000);

          const ids = (await postgres().query<{ id: string }>(`SELECT id FROM ${schema}.effects`)).map(({ id }) => id);
          const records = await kafka().readAll(output);
          const names = new Map<string, Set<string>>();
          const firsts = new Map<string, number[]>();
          for (const { key, value, headers } of records) {
            const [id, name] = [String(value), String(headers['message-id'])];
            const before = names.get(id);
            if (before !== undefined) before.add(name);
            else {
              names.set(id, new Set([name]));
              const of = firsts.get(String(key)) ?? [];
              firsts.set(String(key), [...of, Number(id)]);
            }
          }
          const disordered = [...firsts].filter(([, its]) => its.some((n, at) => n < (its[at - 1] ?? -1)));
          const books = await readFile(world.file, 'utf8').catch(() => '');
          expect({
            seed: SEED,
            effects: ids.length,
            distinctEffects: new Set(ids).size,
            lost: produced - names.size,
            twoNames: [...names].filter(([, each]) => each.size > 1).map(([id]) => id),
            disordered: disordered.map(([key]) => key),
            errors: books.split('\n').filter((line) => line.includes('error')),
          }).toEqual({
            seed: SEED,
            effects: produced,
            distinctEffects: produced,
            lost: 0,
            twoNames: [],
            disordered: [],
            errors: [],
          });
          const named = books.split('\n').filter((line) => line.includes('killed at')).length;
          console.log(
            `seed ${SEED}: ${produced} messages, ${log.length} kills (${named} at their point: ${log.slice(0, points.length).join(', ')}); ` +
              `each effect once, published ${records.length} times (${records.length - produced} repeated)`,
          );
        }),
      3_600_000,
    );

    it.concurrent(
      `lose nothing with dedupe, and double an effect only between effect and confirm, ${DEDUPE_KILLS} kills`,
      () =>
        inWorld(kafka(), postgres(), async (world) => {
          const points = DEDUPE_POINTS.map((point) => ['deduper', point] as const);
          const { produced, log } = await killAll(world, DEDUPE_KILLS, points);
          const { schema } = world;
          const rows = `SELECT id, count(*)::int AS times FROM ${schema}.effects GROUP BY id`;
          const read = (): Promise<{ id: string; times: number }[]> =>
            postgres().query<{ id: string; times: number }>(rows);
          await until(async () => (await read()).length >= produced, 600_000);

          const effects = await read();
          const isKilled = (line: string): boolean => world.members.killedPids.has(line.split(' ')[0] as string);
          const books = (await readFile(world.file, 'utf8').catch(() => '')).split('\n');
          const doubled = effects.filter(({ times }) => times > 1).map(({ id }) => id);
          // By the crash table: who made it before was killed, and no confirm of it had been answered by then.
          const untraced = doubled.filter((id) => {
            const lines = books.filter((line) => line.endsWith(` effect ${id}`) || line.endsWith(` confirmed ${id}`));
            const early = lines.slice(0, lines.map((line) => line.includes(' effect ')).lastIndexOf(true));
            return early.some((line) => !line.includes(' effect ') || !isKilled(line));
          });
          expect({
            seed: SEED,
            lost: produced - effects.length,
            untraced,
            errors: books.filter((line) => line.includes(' error ')),
          }).toEqual({ seed: SEED, lost: 0, untraced: [], errors: [] });
          console.log(
            `seed ${SEED}: ${produced} messages, ${log.length} kills, ${doubled.length} effects doubled, all traced`,
          );
        }),
      3_600_000,
    );
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function soon(promise: Promise<unknown>, ms: number): Promise<boolean> {
  return Promise.race([promise.then(() => true), pause(ms).then(() => false)]);
}

async function until(holds: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!(await holds()) && performance.now() < limit) await pause(300);
}
