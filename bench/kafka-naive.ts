import Table from 'cli-table3';
import { build } from 'esbuild';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { filledTopic, newGroup, onKafka } from './kafka-topic.js';

const RECORDS = 50_000;
const KILL_AFTER = 20_000;
const ROUNDS = 3;
const MEMBER = 'node_modules/.cache/rxsluice-bench/kafka-naive-member.mjs';

void onKafka(async (client) => {
  await build({
    entryPoints: ['bench/kafka-naive-member.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    outfile: MEMBER,
    logLevel: 'error',
  });
  const topic = await filledTopic(client, RECORDS);
  const table = new Table({
    head: [
      `${RECORDS} messages, SIGKILL once ${KILL_AFTER} are handled, then started again`,
      'lost',
      'of all',
      'handled twice',
    ],
  });
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of ['naive', 'ours'] as const) {
      const { handled, times } = await killed(kind, client.brokers, topic);
      const lost = RECORDS - handled;
      const name = kind === 'naive' ? 'Subject from eachMessage, mergeMap(…, 64)' : 'fromKafka, handle(…, 64), ackEach';
      table.push([name, lost.toLocaleString('en'), `${((100 * lost) / RECORDS).toFixed(0)} %`, times - handled]);
    }
  }
  console.log(table.toString());
});

async function killed(
  kind: 'naive' | 'ours',
  brokers: readonly string[],
  topic: string,
): Promise<{ handled: number; times: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'rxsluice-naive-'));
  const file = join(folder, 'handled');
  const settings = JSON.stringify({ brokers, topic, groupId: newGroup(), file });
  const start = (): ChildProcess => spawn(process.execPath, [MEMBER, kind, settings], { stdio: 'inherit' });
  try {
    const first = start();
    while ((await lines(file)).length < KILL_AFTER) await pause(20);
    await end(first);
    const second = start();
    // Over when nothing more has been handled for three session time-outs.
    let count = -1;
    for (let still = 0; still < 18; still++) {
      const now = (await lines(file)).length;
      if (now !== count) still = 0;
      count = now;
      if (new Set(await lines(file)).size === RECORDS) break;
      await pause(1_000);
    }
    await end(second);
    const all = await lines(file);
    return { handled: new Set(all).size, times: all.length };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function lines(file: string): Promise<string[]> {
  return (await readFile(file, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
}

async function end(child: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
