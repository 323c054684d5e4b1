import { expect, it } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { choices } from '../model/random.js';
import { describeKafka } from '../servers/describe-kafka.js';
import { endChild, pause, startChild, waitUntil } from './children.js';

const SOAK = process.env['RXSLUICE_SOAK'] === '1';
const ROUNDS = SOAK ? 30 : 3;
const SEED = Number(process.env['RXSLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const MESSAGES_A_ROUND = 6_000;
const DEFAULT_MAX_SPAN = 16_000;
const MEMBER = fileURLToPath(new URL('kafka-member.ts', import.meta.url));

describeKafka('killed members (I1, I9)', (kafka) => {
  it(`lose nothing and repeat no more than maxSpan a partition, ${ROUNDS} kills`, async () => {
    const choice = choices(SEED);
    const folder = await mkdtemp(join(tmpdir(), 'rxsluice-kill-'));
    const file = join(folder, 'log');
    const topic = await kafka().createTopic({ partitions: 4 });
    const dlq = await kafka().createTopic({ partitions: 1 });
    const settings = { brokers: kafka().brokers, topic, dlq, groupId: kafka().groupId(), file };
    const start = (): ChildProcess => startChild(MEMBER, settings);
    const members = [start(), start()];
    const repeatsOfKills: number[] = [];
    let produced = 0;
    try {
      for (let round = 0; round < ROUNDS; round++) {
        await kafka().produce(topic, MESSAGES_A_ROUND, {
          first: produced,
          key: () => `key-${choice.below(1_000)}`,
        });
        produced += MESSAGES_A_ROUND;
        await waitUntil(async () => (await read(file)).done.size > produced - MESSAGES_A_ROUND, 600_000);
        await pause(1_500 * choice.next());
        const at = choice.below(members.length);
        const before = (await read(file)).repeated;
        await endChild(members[at] as ChildProcess, 'SIGKILL');
        members[at] = start();
        await waitUntil(async () => (await read(file)).done.size >= produced, 600_000);
        const after = (await read(file)).repeated;
        repeatsOfKills.push(after.total - before.total);
        for (const [partition, count] of after.byPartition) {
          expect(count - (before.byPartition.get(partition) ?? 0)).toBeLessThanOrEqual(DEFAULT_MAX_SPAN);
        }
      }
      const { done, errors } = await read(file);
      expect({ seed: SEED, lost: produced - done.size, errors }).toEqual({ seed: SEED, lost: 0, errors: [] });
      console.log(
        `seed ${SEED}: ${produced} messages, ${ROUNDS} kills, repeated after each: ${repeatsOfKills.join(' ')}`,
      );
    } finally {
      await Promise.all(members.map((member) => endChild(member, 'SIGTERM')));
      await rm(folder, { recursive: true, force: true });
    }
  }, 3_600_000);
});

interface Books {
  readonly done: ReadonlySet<string>;
  readonly errors: readonly string[];
  readonly repeated: { readonly total: number; readonly byPartition: ReadonlyMap<string, number> };
}

async function read(file: string): Promise<Books> {
  const started = new Set<string>();
  const done = new Set<string>();
  const errors: string[] = [];
  const byPartition = new Map<string, number>();
  let total = 0;
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n');
  for (const line of lines) {
    const id = line.slice(2);
    if (line.startsWith('e')) errors.push(id);
    if (line.startsWith('d')) done.add(id);
    if (!line.startsWith('s')) continue;
    if (started.has(id)) {
      const partition = id.split('/')[1] as string;
      byPartition.set(partition, (byPartition.get(partition) ?? 0) + 1);
      total++;
    }
    started.add(id);
  }
  return { done, errors, repeated: { total, byPartition } };
}
