import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Message } from '@google-cloud/pubsub';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { until } from '../support/until.js';
import { describeIf } from './describe-if.js';
import { describeOwnPubSub } from './describe-own-pubsub.js';
import { describePubSub } from './describe-pubsub.js';
import { isAlive } from './is-alive.js';
import { pstestFaults } from './pubsub/pstest-faults.js';
import { startPubSub } from './pubsub.js';
import { pubsubTestClient, type PubSubTestClient } from './pubsub-test-client.js';
import { repositoryFile } from './repository.js';
import { whyNoPubSub } from './why-no-pubsub.js';

const SHARED = 'the Pub/Sub that the specs share';
const SERVERS = ['emulator', 'fake', 'pstest'] as const;

const NOT_FOUND = 5;
const UNAVAILABLE = 14;

const numbers = (messages: readonly { readonly data: Buffer }[]): number[] =>
  messages.map(({ data }) => Number(String(data)));
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** What every server does alike. */
const shared = (pubsub: () => PubSubTestClient): void => {
  it('gives back what was published', async () => {
    const topic = await pubsub().createTopic();
    const subscription = await pubsub().createSubscription(topic);
    const bytes = Buffer.from([0, 255, 128, 0]);
    const attributes = { κλειδί: 'τιμή', 'a=b': ' ' };
    const shape = { data: () => bytes, attributes: () => attributes, orderingKey: () => 'key' };
    const [id] = await pubsub().publish(topic, 1, shape);

    const expected = { id, data: bytes, attributes, orderingKey: 'key', deliveryAttempt: 0 };
    expect(await pubsub().take(subscription, 1)).toEqual([expect.objectContaining(expected)]);
  });

  it('keeps the order of each key over many requests, and every message', async () => {
    const topic = await pubsub().createTopic();
    const subscription = await pubsub().createSubscription(topic, { enableMessageOrdering: true });
    const orderingKey = (index: number): string => `key-${index % 7}`;
    await pubsub().publish(topic, 140, { orderingKey });
    const ids = await pubsub().publish(topic, 70, { first: 140, orderingKey });
    expect(new Set(ids).size).toBe(70);

    const messages = await pubsub().take(subscription, 210);
    expect(numbers(messages).sort((a, b) => a - b)).toEqual(range(210));
    for (let remainder = 0; remainder < 7; remainder++) {
      const ofKey = messages.filter((message) => message.orderingKey === `key-${remainder}`);
      expect(numbers(ofKey)).toEqual(range(30).map((turn) => turn * 7 + remainder));
    }
  });

  it('gives a message to each subscription, once it is acked no more, and again when it is nacked', async () => {
    const topic = await pubsub().createTopic();
    const [first, second] = [await pubsub().createSubscription(topic), await pubsub().createSubscription(topic)];
    await pubsub().publish(topic, 1);
    expect(numbers(await pubsub().take(first, 1))).toEqual([0]);
    expect(await pubsub().pull(first, 10)).toEqual([]);

    const [nacked] = await pubsub().pull(second, 10, { wait: true });
    expect(await pubsub().pull(second, 10)).toEqual([]);
    await pubsub().modifyDeadline(second, [nacked?.ackId ?? ''], 0);
    const [again] = await pubsub().take(second, 1);
    expect(again?.id).toBe(nacked?.id);
  });

  it('serves the client’s own stream', async () => {
    const topic = await pubsub().createTopic();
    const subscription = pubsub()
      .newPubSub()
      .subscription(await pubsub().createSubscription(topic));
    const messages: Message[] = [];
    subscription.on('message', (message: Message) => {
      messages.push(message);
      message.ack();
    });
    await pubsub().publish(topic, 500);
    await until('all have come', () => messages.length === 500);
    expect(numbers(messages).sort((a, b) => a - b)).toEqual(range(500));
    await subscription.close();
  });

  it('is cleaned of what a client made when that closes', async () => {
    const client = pubsubTestClient(pubsub());
    const topic = await client.createTopic();
    const subscription = await client.createSubscription(topic);
    await client.close();
    expect(await pubsub().newPubSub().topic(topic).exists()).toEqual([false]);
    await expect(pubsub().pull(subscription, 1)).rejects.toMatchObject({ code: NOT_FOUND });
  });
};

for (const server of SERVERS) describePubSub(server, SHARED, shared);

for (const server of SERVERS) {
  describeOwnPubSub(server, 'a Pub/Sub that a spec has for itself', (own) => {
    it('listens on 127.0.0.1 alone', async () => {
      const port = Number(own().endpoint.split(':')[1]);
      expect(await accepts(port, '127.0.0.1')).toBe(true);
      expect(await accepts(port, '127.0.0.2')).toBe(false);
      expect(await accepts(port, '::1')).toBe(false);
    });

    it('is refused while it is killed, and is empty at the same address after a restart', async () => {
      const client = pubsubTestClient(own());
      const subscription = await client.createSubscription(await client.createTopic());
      const { pid, endpoint } = own();
      await own().kill();
      expect(isAlive(pid)).toBe(false);
      await expect(client.pull(subscription, 1)).rejects.toMatchObject({ code: UNAVAILABLE });
      await own().restart();
      expect(own().endpoint).toBe(endpoint);
      await until('it has forgotten', async () => (await codeOf(client.pull(subscription, 1))) === NOT_FOUND);
      await client.close();
    });

    it('leaves no process and no folder when it stops', async () => {
      const { pid, folder } = own();
      expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
      await own().stop();
      expect([isAlive(pid), existsSync(folder)]).toEqual([false, false]);
      await own().stop();
    });
  });
}

describeOwnPubSub('pstest', 'the fault port', (own) => {
  it('lets acks fail as it is asked, with the reasons that an exactly-once subscription gives', async () => {
    const client = pubsubTestClient(own());
    const topic = await client.createTopic();
    const name = await client.createSubscription(topic, { enableExactlyOnceDelivery: true });
    await pstestFaults(own()).fail('Acknowledge', { code: 9, reason: 'PERMANENT_FAILURE_INVALID_ACK_ID' });
    const subscription = client.newPubSub().subscription(name);
    const answer = new Promise<string>((resolve) => {
      subscription.on('message', (message: Message) => {
        message.ackWithResponse().then(resolve, (error: { errorCode: string }) => resolve(error.errorCode));
      });
    });
    await client.publish(topic, 1);
    expect(await answer).toBe('INVALID');
    await subscription.close();
    await client.close();
  });
});

for (const server of SERVERS) {
  describeIf(
    `a start of ${server}`,
    whyNoPubSub(server),
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
        await expect(startPubSub(server, { startTimeoutMs: 1 })).rejects.toThrow(
          `${server} did not start: it took more than 1 ms`,
        );
        expect((await readdir(temp)).filter((name) => name.startsWith('rxsluice'))).toEqual([]);
      });

      it('ends with the process that asked for it, though that is killed', async () => {
        const start = `import { startPubSub } from './spec/servers/pubsub.ts';
          const { pid } = await startPubSub('${server}');
          console.log(pid);
          setInterval(() => {}, 1_000);`;
        const args = ['--import', 'tsx', '--input-type=module', '-e', start];
        const stdio = ['ignore', 'pipe', 'inherit'] as const;
        const starter = spawn(process.execPath, args, { cwd: repositoryFile('.'), stdio: [...stdio] });
        const [line] = (await once(createInterface(starter.stdout as NodeJS.ReadableStream), 'line')) as [string];
        const pid = Number(line);
        expect(isAlive(pid)).toBe(true);

        starter.kill('SIGKILL');
        await until('the server and its folder are gone', async () => {
          const left = (await readdir(temp)).filter((name) => name.startsWith('rxsluice'));
          return !isAlive(pid) && left.length === 0;
        });
      });
    },
    { optional: server === 'pstest' },
  );
}

describe('a test client', () => {
  it('refuses an endpoint elsewhere', () => {
    for (const endpoint of ['pubsub.googleapis.com:443', '127.0.0.1', 'localhost:8085', '127.0.0.1:80.example.org']) {
      expect(() => pubsubTestClient({ endpoint })).toThrow(`on 127.0.0.1 alone, not on ${endpoint}`);
    }
  });

  it('refuses to work where the client may ask a cloud for credentials', () => {
    const before = process.env['METADATA_SERVER_DETECTION'];
    try {
      delete process.env['METADATA_SERVER_DETECTION'];
      expect(() => pubsubTestClient({ endpoint: '127.0.0.1:8085' })).toThrow('METADATA_SERVER_DETECTION=none');
    } finally {
      process.env['METADATA_SERVER_DETECTION'] = before;
    }
  });
});

describe('a machine without a server', () => {
  const runWithout = async (env: Readonly<Record<string, string>>, only: string) => {
    const flags = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--json', '-t', only];
    const run = await new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      execFile(
        process.execPath,
        [...flags, 'spec/servers/pubsub.spec.ts'],
        { cwd: repositoryFile('.'), env: { ...process.env, ...env } },
        (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
      );
    });
    return { ...run, ...(JSON.parse(run.stdout) as { numFailedTests: number; numPassedTests: number }) };
  };

  it('skips pstest by name, and says so, under CI=true too', async () => {
    const run = await runWithout({ PSTEST_CTL_BIN: '', CI: 'true' }, `${SHARED}, on pstest`);
    expect(run.stderr).toContain(`Skipped: ${SHARED}, on pstest. No pstest: PSTEST_CTL_BIN does not name its program.`);
    expect(run).toMatchObject({ code: 0, numFailedTests: 0, numPassedTests: 0 });
  });

  it('skips the emulator by name, and fails under CI=true', async () => {
    const only = `${SHARED}, on the Pub/Sub emulator`;
    const missing = { PUBSUB_EMULATOR_JAR: '/nowhere/emulator.jar' };
    const reason = 'No emulator: PUBSUB_EMULATOR_JAR names /nowhere/emulator.jar, which is not there';
    const laptop = await runWithout({ ...missing, CI: '' }, only);
    expect(laptop.stderr).toContain(`Skipped: ${only}. ${reason}.`);
    expect(laptop).toMatchObject({ code: 0, numFailedTests: 0, numPassedTests: 0 });

    const ci = await runWithout({ ...missing, CI: 'true' }, only);
    expect(ci.stdout).toContain(reason);
    expect(ci).toMatchObject({ code: 1, numFailedTests: 1, numPassedTests: 0 });
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

async function codeOf(call: Promise<unknown>): Promise<number | undefined> {
  return call.then(
    () => undefined,
    ({ code }: { code: number }) => code,
  );
}
