import { PubSub } from '@google-cloud/pubsub';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastValueFrom } from 'rxjs';
import { readyClient } from '../../../lib/brokers/pubsub/pubsub-ready.js';
import { publish } from '../../../lib/index.js';
import { fromPubSub, pubsubPublisher } from '../../../lib/pubsub.js';

describe('Without credentials', () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  let folder: string;
  let keyFilename: string;
  let pubsub: PubSub;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rxsluice-credentials-'));
    keyFilename = join(folder, 'key.json');
    pubsub = new PubSub({ projectId: 'demo', apiEndpoint: '127.0.0.1:1', emulatorMode: false, keyFilename });
    unhandled.length = 0;
    process.on('unhandledRejection', note);
  });
  afterEach(async () => {
    await sleep(50);
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
    // It waits for the credentials too.
    await pubsub.close().catch(() => undefined);
    await rm(folder, { recursive: true });
  });

  it.each(['streaming', 'pull'] as const)(
    'fromPubSub fails typed, %s, and leaves no rejection unhandled',
    async (mode) => {
      await expect(lastValueFrom(fromPubSub(pubsub.subscription('billing'), { mode }))).rejects.toMatchObject({
        code: 'authentication-failed',
        details: { subscription: 'billing' },
      });
    },
  );

  it('pubsubPublisher does not connect, typed, and leaves no rejection unhandled', async () => {
    const publishing = publish(pubsubPublisher(pubsub, { topic: 'orders' }), [{ value: 'a' }]);
    await expect(lastValueFrom(publishing)).rejects.toMatchObject({
      code: 'authentication-failed',
      details: { topic: 'orders' },
    });
  });

  it.each(['SubscriberClient', 'PublisherClient'] as const)(
    'a %s of the same PubSub is had once they are there',
    async (name) => {
      const ready = () => lastValueFrom(readyClient(pubsub, name, 5_000));
      await expect(ready()).rejects.toMatchObject({ code: 'ENOENT' });
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
      const key = {
        type: 'service_account',
        client_email: 'demo@demo.iam.gserviceaccount.com',
        private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      };
      await writeFile(keyFilename, JSON.stringify(key));
      const client = await ready();
      await expect(ready()).resolves.toBe(client);
    },
  );
});
