import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Kafka, logLevel, type EachBatchPayload } from 'kafkajs';
import { describeIf } from './describe-if.js';
import { describeKafka, itSasl } from './describe-kafka.js';
import { describeOwnKafka } from './describe-own-kafka.js';
import { isAlive } from './is-alive.js';
import { startKafka, type SaslListener } from './kafka.js';
import { kafkaTestClient } from './kafka-test-client.js';
import { openKafka } from './open-kafka.js';
import { repositoryFile } from './repository.js';
import { sharedKafka } from './shared-kafka.js';
import { whyNoKafka } from './why-no-kafka.js';

const SHARED = 'the Kafka that the specs share';

describeKafka(SHARED, (kafka) => {
  it('gives back what was published: key, value, headers, partition and offset', async () => {
    const topic = await kafka().createTopic({ partitions: 2 });
    const bytes = Buffer.from([0, 255, 128, 0]);
    await kafka().send(topic, [
      { key: bytes, value: bytes, headers: { trace: bytes, twice: ['1', '2'] }, partition: 1, timestamp: '1000' },
      { key: 'tombstone', value: null, partition: 1 },
      { value: 'no key', partition: 0 },
    ]);

    const [none, full, tombstone, ...more] = await kafka().readAll(topic);
    expect(more).toEqual([]);
    expect(none).toMatchObject({ partition: 0, offset: 0n, key: null, value: Buffer.from('no key'), headers: {} });
    expect(full).toMatchObject({ partition: 1, offset: 0n, key: bytes, value: bytes, timestamp: 1_000 });
    expect(full?.headers).toEqual({ trace: bytes, twice: [Buffer.from('1'), Buffer.from('2')] });
    expect(tombstone).toMatchObject({ partition: 1, offset: 1n, key: Buffer.from('tombstone'), value: null });
  });

  it('keeps the order of each key over many requests', async () => {
    const topic = await kafka().createTopic();
    await kafka().produce(topic, 15_000, { key: (index) => `key-${index % 7}` });
    await kafka().produce(topic, 5_000, { first: 15_000, key: (index) => `key-${index % 7}` });

    const records = await kafka().readAll(topic);
    expect(records).toHaveLength(20_000);
    for (let key = 0; key < 7; key++) {
      const read = records.filter((record) => String(record.key) === `key-${key}`).map(({ value }) => Number(value));
      expect(read).toEqual(Array.from({ length: Math.ceil((20_000 - key) / 7) }, (_, turn) => turn * 7 + key));
    }
    expect((await kafka().endOffsets(topic)).reduce((sum, end) => sum + end, 0n)).toBe(20_000n);
  });

  it('reads to the end past an aborted transaction', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const producer = kafka().newKafka().producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    try {
      for (const [value, end] of [
        ['kept', 'commit'],
        ['lost', 'abort'],
      ] as const) {
        const transaction = await producer.transaction();
        await transaction.send({ topic, messages: [{ value }] });
        await transaction[end]();
      }
    } finally {
      await producer.disconnect();
    }
    expect((await kafka().readAll(topic)).map(({ value }) => String(value))).toEqual(['kept']);
    expect(await kafka().endOffsets(topic)).toEqual([4n]);
  });

  it('tells what a group has committed', async () => {
    const [topic, groupId] = [await kafka().createTopic({ partitions: 3 }), kafka().groupId()];
    expect(await kafka().committed(groupId, topic)).toEqual([undefined, undefined, undefined]);
    await kafka().send(topic, [{ value: 'one', partition: 1 }]);
    await commitAt(kafka().newKafka(), groupId, topic, '1');
    expect(await kafka().committed(groupId, topic)).toEqual([undefined, 1n, undefined]);
  });

  it('creates no topic by itself, takes the settings of one, and deletes it', async () => {
    const topic = await kafka().createTopic({ config: { 'max.message.bytes': '1000' } });
    await expect(kafka().send(topic, [{ value: Buffer.alloc(2_000, 'x') }])).rejects.toMatchObject({
      type: 'MESSAGE_TOO_LARGE',
    });
    await kafka().deleteTopic(topic);
    const admin = kafka().newKafka().admin();
    await admin.connect();
    expect(await admin.listTopics()).not.toContain(topic);
    await admin.disconnect();
  });

  it('is cleaned of what a client made when that closes', async () => {
    const client = kafkaTestClient(kafka());
    const [topic, group] = [await client.createTopic(), client.groupId()];
    await client.send(topic, [{ value: 'one' }]);
    await commitAt(client.newKafka(), group, topic, '1');
    await client.close();

    const admin = kafka().newKafka().admin();
    await admin.connect();
    expect(await admin.listTopics()).not.toContain(topic);
    expect((await admin.listGroups()).groups.map(({ groupId }) => groupId)).not.toContain(group);
    await admin.disconnect();
  });

  itSasl('has a listener for SASL/PLAIN over TLS', async () => {
    const { sasl } = await sharedKafka();
    expect(await brokersSeen(saslListener(sasl))).toEqual(sasl?.brokers);
  });

  itSasl('refuses a wrong password, and a client that does not trust its certificate', async () => {
    const sasl = saslListener((await sharedKafka()).sasl);
    await expect(brokersSeen({ ...sasl, password: 'wrong' })).rejects.toMatchObject({
      name: 'KafkaJSSASLAuthenticationError',
    });
    await expect(brokersSeen({ ...sasl, ca: undefined })).rejects.toThrow('self-signed certificate');
  });
});

describeOwnKafka('a Kafka that a spec has for itself', (server) => {
  it('keeps ports and data over a restart, and over a kill', async () => {
    const client = kafkaTestClient(server());
    const topic = await client.createTopic({ partitions: 1 });
    const pids = [server().pid];

    await client.send(topic, [{ value: 'before' }]);
    await server().restart();
    pids.push(server().pid);
    await client.send(topic, [{ value: 'between' }]);
    await server().kill();
    expect(isAlive(server().pid)).toBe(false);
    await server().restart();
    pids.push(server().pid);
    await client.send(topic, [{ value: 'after' }]);

    expect((await client.readAll(topic)).map(({ value }) => String(value))).toEqual(['before', 'between', 'after']);
    expect(new Set(pids).size).toBe(3);
    expect(await brokersSeen(server().sasl)).toEqual(server().sasl.brokers);
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

describeIf('a start of Kafka', await whyNoKafka(), () => {
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

  it('that fails says why, from the log of the server, and leaves nothing', async () => {
    const config = { 'offsets.topic.replication.factor': '1', 'ssl.keystore.password': 'not the password' };
    await expect(startKafka({ config })).rejects.toThrow(/did not start: exit code 1\n[^]*keystore/);
    expect(await readdir(temp)).toEqual([]);
  });

  it('that takes too long is ended', async () => {
    await expect(startKafka({ startTimeoutMs: 100 })).rejects.toThrow('Kafka did not start: it took more than 100 ms');
    expect(await readdir(temp)).toEqual([]);
  });

  it('ends with the process that asked for it, though that is killed', async () => {
    const start = `import { startKafka } from './spec/servers/kafka.ts';
      const { pid } = await startKafka();
      console.log(pid);
      setInterval(() => {}, 1_000);`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', start];
    const starter = spawn(process.execPath, args, { cwd: repositoryFile('.'), stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface(starter.stdout), 'line')) as [string];
    const kafka = Number(line);
    expect(isAlive(kafka)).toBe(true);

    starter.kill('SIGKILL');
    while (isAlive(kafka) || (await readdir(temp)).length > 0) await sleep(20);
  });

  it('is none where KAFKA_BROKERS names a broker', async () => {
    process.env['KAFKA_BROKERS'] = '127.0.0.1:1, 127.0.0.1:2';
    try {
      const kafka = await openKafka();
      expect(kafka.brokers).toEqual(['127.0.0.1:1', '127.0.0.1:2']);
      expect(kafka.sasl).toBeUndefined();
      await kafka.stop();
    } finally {
      delete process.env['KAFKA_BROKERS'];
    }
  });
});

describe('a spec for Kafka where there is no Java', () => {
  const jest = async (env: NodeJS.ProcessEnv): Promise<{ code: number; stdout: string; stderr: string }> => {
    const flags = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--json', '-t', SHARED];
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [...flags, 'spec/servers/kafka.spec.ts'],
        { cwd: repositoryFile('.'), env: { ...process.env, JAVA_HOME: '/nowhere', KAFKA_BROKERS: '', ...env } },
        (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
      );
    });
  };

  it('is skipped by name, and says so', async () => {
    const { code, stdout, stderr } = await jest({ CI: '' });
    expect(stderr).toContain(`Skipped: ${SHARED}. No Kafka: Java 17 or later is missing.`);
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 0,
      numFailedTests: 0,
      numPassedTests: 0,
    });
  });

  it('fails under CI=true', async () => {
    const { code, stdout } = await jest({ CI: 'true' });
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 1,
      numFailedTests: 1,
      numPassedTests: 0,
    });
    expect(stdout).toContain('No Kafka: Java 17 or later is missing');
  });
});

/** Commits this offset for the partition of the topic's only record. */
async function commitAt(kafka: Kafka, groupId: string, topic: string, offset: string): Promise<void> {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50 });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      const eachBatch = async ({ batch: { partition }, commitOffsetsIfNecessary }: EachBatchPayload): Promise<void> => {
        await commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition, offset }] }] });
        resolve();
      };
      consumer.run({ autoCommit: false, eachBatch }).catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
}

/** The addresses that the cluster gives to a client of the SASL listener. */
async function brokersSeen({
  brokers,
  username,
  password,
  ca,
}: Omit<SaslListener, 'ca'> & { ca?: string | undefined }) {
  const admin = new Kafka({
    brokers: [...brokers],
    ssl: ca === undefined ? true : { ca: [ca] },
    sasl: { mechanism: 'plain', username, password },
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
  }).admin();
  try {
    await admin.connect();
    return (await admin.describeCluster()).brokers.map(({ host, port }) => `${host}:${port}`);
  } finally {
    await admin.disconnect();
  }
}

function saslListener(sasl: SaslListener | undefined): SaslListener {
  if (sasl === undefined) throw new Error('This Kafka has no SASL listener.');
  return sasl;
}
