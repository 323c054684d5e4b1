import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { KinesisClientLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import { describeIf } from './describe-if.js';
import { describeKinesis } from './describe-kinesis.js';
import { describeOwnKinesis } from './describe-own-kinesis.js';
import { isAlive } from './is-alive.js';
import type { KinesisServerName } from './kinesis/command.js';
import { startKinesis } from './kinesis.js';
import { kinesisTestClient, type KinesisTestClient } from './kinesis-test-client.js';
import { repositoryFile } from './repository.js';
import { whyNoKinesis } from './why-no-kinesis.js';

const SHARED = 'the Kinesis that the specs share';

const text = (data: Uint8Array): string => Buffer.from(data).toString();
const numbers = (records: readonly { readonly data: Uint8Array }[]): number[] =>
  records.map(({ data }) => Number(text(data)));
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** What every server does alike. */
const shared = (kinesis: () => KinesisTestClient): void => {
  it('gives back what was put, where the answer said', async () => {
    const stream = await kinesis().createStream();
    const bytes = new Uint8Array([0, 255, 128, 0]);
    const [low, high] = await kinesis().put(stream, 2, {
      key: (index) => `κλειδί ${index}`,
      data: () => bytes,
      hashKey: (index) => (index === 0 ? 0n : 2n ** 128n - 1n),
    });

    expect(low?.shard).not.toBe(high?.shard);
    expect((await kinesis().readAll(stream)).map((record) => ({ ...record, data: [...record.data] }))).toEqual([
      { ...low, key: 'κλειδί 0', data: [...bytes] },
      { ...high, key: 'κλειδί 1', data: [...bytes] },
    ]);
  });

  it('keeps the order of each key over many requests, and every record', async () => {
    const stream = await kinesis().createStream({ shards: 3 });
    const key = (index: number): string => `key-${index % 7}`;
    // Below what a shard takes in a second.
    await kinesis().put(stream, 600, { key });
    await kinesis().put(stream, 100, { first: 600, key });

    const records = await kinesis().readAll(stream);
    expect(numbers(records).sort((a, b) => a - b)).toEqual(range(700));
    for (let remainder = 0; remainder < 7; remainder++) {
      const ofKey = records.filter((record) => record.key === `key-${remainder}`);
      expect(new Set(ofKey.map(({ shard }) => shard)).size).toBe(1);
      expect(numbers(ofKey)).toEqual(range(100).map((turn) => turn * 7 + remainder));
    }
  });

  it('is cleaned of what a client made when that closes', async () => {
    const client = kinesisTestClient(kinesis());
    const stream = await client.createStream();
    await client.close();
    const deleted = async (): Promise<boolean> =>
      kinesis()
        .newKinesis()
        .describeStreamSummary({ StreamName: stream })
        .then(
          ({ StreamDescriptionSummary }) => StreamDescriptionSummary?.StreamStatus === 'DELETING',
          (error: Error) => error.name === 'ResourceNotFoundException',
        );
    expect(await deleted()).toBe(true);
  });

  it('has a client of the shape that the library uses', async () => {
    const client: KinesisClientLike = kinesis().newKinesis();
    const stream = await kinesis().createStream();
    const { StreamDescriptionSummary } = await client.describeStreamSummary({ StreamName: stream });
    expect(StreamDescriptionSummary).toMatchObject({ StreamName: stream, RetentionPeriodHours: 24 });
  });
};

/** What the servers that keep the records of closed shards do alike. */
const resharded = (kinesis: () => KinesisTestClient): void => {
  it('splits and merges shards, keeps the lineage, and the records of those that are closed', async () => {
    const stream = await kinesis().createStream({ shards: 2 });
    const [first, second] = (await kinesis().shards(stream)).map(({ id }) => id) as [string, string];
    await kinesis().put(stream, 30);
    const [lower, upper] = await kinesis().split(stream, first);
    await kinesis().put(stream, 30, { first: 30 });
    const merged = await kinesis().merge(stream, second, upper);
    const places = await kinesis().put(stream, 30, { first: 60 });

    const shards = await kinesis().shards(stream);
    expect(shards.map(({ id, parents, isOpen }) => ({ id, parents, isOpen }))).toEqual([
      { id: first, parents: [], isOpen: false },
      { id: second, parents: [], isOpen: false },
      { id: lower, parents: [first], isOpen: true },
      { id: upper, parents: [first], isOpen: false },
      { id: merged, parents: [upper, second], isOpen: true },
    ]);
    expect(new Set(places.map(({ shard }) => shard))).toEqual(new Set([lower, merged]));
    expect(numbers(await kinesis().readAll(stream)).sort((a, b) => a - b)).toEqual(range(90));
  });
};

describeKinesis('kinesalite', SHARED, (kinesis) => {
  shared(kinesis);
  resharded(kinesis);
});

describeKinesis('kinesis-local', SHARED, (kinesis) => {
  shared(kinesis);
  resharded(kinesis);

  it('updates the shard count, with lineage', async () => {
    const stream = await kinesis().createStream({ shards: 2 });
    await kinesis().updateShardCount(stream, 4);
    const shards = await kinesis().shards(stream);
    expect(shards.filter(({ isOpen }) => isOpen)).toHaveLength(4);
    expect(shards.filter(({ parents }) => parents.length === 0)).toHaveLength(2);
  });
});

describeKinesis('ferrokinesis', SHARED, (kinesis) => {
  shared(kinesis);
  resharded(kinesis);

  it('refuses what is too much for a shard, record by record, and gets all of it in the end', async () => {
    const stream = await kinesis().createStream({ shards: 1 });
    const Records = range(12).map((index) => ({ Data: new Uint8Array(100_000), PartitionKey: `key-${index}` }));
    const { FailedRecordCount = 0 } = await kinesis().newKinesis().putRecords({ StreamName: stream, Records });
    expect(FailedRecordCount).toBeGreaterThan(0);
    expect(FailedRecordCount).toBeLessThan(12);

    const places = await kinesis().put(stream, 1_500);
    expect(new Set(places.map(({ sequenceNumber }) => sequenceNumber)).size).toBe(1_500);
    expect(await kinesis().readAll(stream)).toHaveLength(12 - FailedRecordCount + 1_500);
  });
});

describeKinesis('ministack', SHARED, shared);

describeOwnKinesis(
  'ferrokinesis',
  'a Kinesis with settings of its own',
  (server) => {
    it('lets iterators expire as soon as it is told to', async () => {
      const client = kinesisTestClient(server());
      const stream = await client.createStream({ shards: 1 });
      const kinesis = client.newKinesis();
      const ShardId = (await client.shards(stream))[0]?.id;
      const { ShardIterator } = await kinesis.getShardIterator({
        StreamName: stream,
        ShardId,
        ShardIteratorType: 'LATEST',
      });
      await sleep(2_100);
      await expect(kinesis.getRecords({ ShardIterator })).rejects.toMatchObject({ name: 'ExpiredIteratorException' });
      await client.close();
    });
  },
  { config: { 'iterator-ttl-seconds': '1' } },
);

for (const name of ['kinesalite', 'kinesis-local', 'ferrokinesis', 'ministack'] as const) {
  describeOwnKinesis(name, 'a Kinesis that a spec has for itself', (server) => {
    // ferrokinesis has no setting for it.
    (name === 'ferrokinesis' ? it.skip : it)('listens on 127.0.0.1 alone', async () => {
      const { port } = new URL(server().endpoint);
      expect(await accepts(Number(port), '127.0.0.1')).toBe(true);
      expect(await accepts(Number(port), '127.0.0.2')).toBe(false);
      expect(await accepts(Number(port), '::1')).toBe(false);
    });

    it('is refused while it is killed, and is empty at the same address after a restart', async () => {
      const client = kinesisTestClient(server());
      const stream = await client.createStream();
      const { pid, endpoint } = server();
      await server().kill();
      expect(isAlive(pid)).toBe(false);
      await expect(client.shards(stream)).rejects.toMatchObject({
        code: expect.stringMatching(/^ECONN(REFUSED|RESET)$/),
      });
      await server().restart();
      expect(server().endpoint).toBe(endpoint);
      await expect(client.shards(stream)).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
      await client.close();
    });

    it('leaves no process and no folder when it stops', async () => {
      const { pid, folder } = server();
      expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
      await server().stop();
      expect([isAlive(pid), existsSync(folder)]).toEqual([false, false]);
      await server().stop();
    });
  });
}

for (const name of ['kinesalite', 'kinesis-local', 'ferrokinesis'] as const) describeStart(name);

function describeStart(name: KinesisServerName): void {
  describeIf(
    `a start of ${name}`,
    whyNoKinesis(name),
    () => {
      let temp: string;
      const before = process.env['TMPDIR'];

      beforeEach(async () => {
        temp = await mkdtemp(join(tmpdir(), 'rxsluice-temp-'));
        process.env['TMPDIR'] = temp;
      });
      afterEach(async () => {
        if (before === undefined) delete process.env['TMPDIR'];
        else process.env['TMPDIR'] = before;
        await rm(temp, { recursive: true });
      });

      it('that takes too long is ended', async () => {
        await expect(startKinesis(name, { startTimeoutMs: 1 })).rejects.toThrow(
          `${name} did not start: it took more than 1 ms`,
        );
        expect(await readdir(temp)).toEqual([]);
      });

      it('ends with the process that asked for it, though that is killed', async () => {
        const start = `import { startKinesis } from './spec/servers/kinesis.ts';
          const { pid } = await startKinesis('${name}');
          console.log(pid);
          setInterval(() => {}, 1_000);`;
        const args = ['--import', 'tsx', '--input-type=module', '-e', start];
        const stdio = ['ignore', 'pipe', 'inherit'] as const;
        const starter = spawn(process.execPath, args, { cwd: repositoryFile('.'), stdio: [...stdio] });
        const [line] = (await once(createInterface(starter.stdout as NodeJS.ReadableStream), 'line')) as [string];
        const kinesis = Number(line);
        expect(isAlive(kinesis)).toBe(true);

        starter.kill('SIGKILL');
        while (isAlive(kinesis) || (await readdir(temp)).length > 0) await sleep(20);
      });
    },
    { optional: name === 'ferrokinesis' },
  );
}

describe('a spec for ferrokinesis where there is none', () => {
  it('is skipped by name, and says so, under CI=true too', async () => {
    const flags = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--json', '-t', `${SHARED}, on ferro`];
    const run = await new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      execFile(
        process.execPath,
        [...flags, 'spec/servers/kinesis.spec.ts'],
        { cwd: repositoryFile('.'), env: { ...process.env, FERROKINESIS_BIN: '', CI: 'true' } },
        (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
      );
    });
    expect(run.stderr).toContain(
      `Skipped: ${SHARED}, on ferrokinesis. No ferrokinesis: FERROKINESIS_BIN does not name its program.`,
    );
    expect({ code: run.code, ...(JSON.parse(run.stdout) as object) }).toMatchObject({
      code: 0,
      numFailedTests: 0,
      numPassedTests: 0,
    });
  });
});

async function accepts(port: number, host: string): Promise<boolean> {
  const socket = connect(port, host);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
