import { PubSub, type ClientConfig } from '@google-cloud/pubsub';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastValueFrom } from 'rxjs';
import { pubsubError } from '../../lib/brokers/pubsub/pubsub-errors.js';
import { nameOf, SluiceError } from '../../lib/core/errors.js';
import { tellError } from '../../lib/core/told-error.js';
import { ackEach, decode, json, publish, retryToDlq, type TelemetryEvent } from '../../lib/index.js';
import { fromPubSub, pubsubPublisher } from '../../lib/pubsub.js';
import { describePubSubFake } from '../servers/describe-pubsub-fake.js';
import { until } from '../support/until.js';
import { printedBy, textsOfError, textsOfEvent } from './our-texts.js';

const TOKEN = 'hunter2-of-the-account';
const VALUE = 'canary 4111 of a value';
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const PEM = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const LINE = PEM.split('\n')[3] as string;
const SECRETS = [TOKEN, LINE, 'PRIVATE KEY', '4111', 'canary'];

const KEY = {
  type: 'service_account',
  client_email: 'demo@demo.iam.gserviceaccount.com',
  private_key_id: TOKEN,
  private_key: PEM,
};

const expectClean = (texts: readonly string[]): void => {
  for (const text of texts) for (const secret of SECRETS) expect(text).not.toContain(secret);
};

describe('no text of ours shows a key of Pub/Sub', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rxsluice-secrets-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const file = async (content: string): Promise<ClientConfig> => {
    const keyFilename = join(folder, 'key.json');
    await writeFile(keyFilename, content);
    return { keyFilename };
  };

  it.each([
    ['there is no file of credentials', () => ({ keyFilename: join(folder, TOKEN) }), 'authentication-failed'],
    ['the key is given where its path belongs', () => ({ keyFilename: JSON.stringify(KEY) }), 'authentication-failed'],
    ['nobody listens', () => file(JSON.stringify(KEY)), 'connection-failed'],
  ] as const)('where %s', async (_, config, code) => {
    const given: ClientConfig = {
      projectId: 'demo',
      apiEndpoint: '127.0.0.1:1',
      emulatorMode: false,
      ...(await config()),
    };
    const pubsub = new PubSub(given);
    const texts: string[] = [];
    const printed = await printedBy(async () => {
      const reading = fromPubSub(pubsub.subscription('billing'), {});
      const publishing = publish(pubsubPublisher(pubsub, { topic: 'orders', retryTimeoutMs: 2_000 }), [
        { value: VALUE },
      ]);
      for (const each of [reading, publishing]) {
        const end: unknown = await lastValueFrom(each as typeof publishing).catch((failure: unknown) => failure);
        const error = Array.isArray(end) ? (end[0] as { readonly error: unknown }).error : end;
        texts.push(...textsOfError(error));
        expect(error).toMatchObject({ code });
      }
    });
    await pubsub.close().catch(() => undefined);
    expect(texts.length).toBeGreaterThanOrEqual(6);
    expectClean([...texts, ...printed]);
  });

  // A client looks at its key once it is connected, so only a server that is Google's could be asked.
  it.each([
    ['is cut off', JSON.stringify(KEY).slice(0, 800)],
    ['is no JSON', PEM],
    ['has half a key', JSON.stringify({ ...KEY, private_key: PEM.slice(0, 500) })],
    ['has a key that is none', JSON.stringify({ ...KEY, private_key: TOKEN })],
  ])('where the file of credentials %s', async (_, content) => {
    const pubsub = new PubSub({ projectId: 'demo', emulatorMode: false, ...(await file(content)) });
    const error: unknown = await pubsub.auth.getRequestHeaders('https://pubsub.googleapis.com/').then(
      () => null,
      (failure: unknown) => failure,
    );
    expect(error).not.toBeNull();
    // As gRPC passes it on.
    const message = `16 UNAUTHENTICATED: Getting metadata from plugin failed with error: ${(error as Error).message}`;
    const passedOn = Object.assign(new Error(message), { code: 16, details: message });
    for (const given of [error, passedOn]) {
      const typed = pubsubError('fromPubSub', given, { subscription: 'billing' });
      expectClean([...textsOfError(typed), ...textsOfError(new SluiceError('source-failed', nameOf(given)))]);
      const { message: told, causes, stack } = tellError(typed);
      expectClean([told, stack, ...causes]);
    }
  });
});

describePubSubFake('no text of ours shows a message of Pub/Sub', (fake, pubsub) => {
  afterEach(() => fake().heal());

  it.each(['INVALID_ARGUMENT', 'PERMISSION_DENIED', 'UNAUTHENTICATED', 'UNAVAILABLE', 'INTERNAL'] as const)(
    'where the service quotes it as it answers %s',
    async (code) => {
      const topic = await pubsub().createTopic();
      fake().fail('Publish', { code, details: `not taken: ${VALUE}, token=${TOKEN}`, count: 1_000 });
      const outcome: unknown[] = [];
      const printed = await printedBy(async () => {
        const publisher = pubsubPublisher(pubsub().newPubSub(), { topic, retryTimeoutMs: 500 });
        const message = { key: VALUE, value: VALUE, headers: { trace: VALUE } };
        outcome.push(await lastValueFrom(publish(publisher, [message])).catch((error: unknown) => error));
      });
      const errors = outcome.flat().map((each) => (each as { readonly error?: unknown }).error ?? each);
      const texts = errors.flatMap(textsOfError);
      expect(texts.join('\n')).toContain(code);
      expectClean([...texts, ...printed]);
    },
  );

  it('that becomes a dead letter, or whose dead letter is refused', async () => {
    const [topic, letters] = [await pubsub().createTopic(), await pubsub().createTopic()];
    const subscription = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 1, { data: () => `{"card": ${VALUE}`, attributes: () => ({ trace: VALUE }) });
    const events: TelemetryEvent[] = [];
    const client = pubsub().newPubSub();
    fake().fail('Publish', { code: 'INVALID_ARGUMENT', details: VALUE, count: 1_000 });
    const printed = await printedBy(async () => {
      const telemetry = (event: TelemetryEvent): void => void events.push(event);
      const reading = fromPubSub(client.subscription(subscription), { telemetry })
        .pipe(retryToDlq({ deadLetters: pubsubPublisher(client, { topic: letters }) }), decode(json()), ackEach())
        .subscribe();
      await until('it is refused', () => events.some(({ type }) => type === 'undeliverable'));
      fake().heal();
      await until('it is a dead letter', () => events.some(({ type }) => type === 'dead-lettered'));
      reading.unsubscribe();
      await until('it is closed', () => events.some(({ type }) => type === 'closed'));
    });
    const texts = [...events.flatMap(textsOfEvent), ...printed];
    expect(texts.join('\n')).toContain('bytes that are not JSON from byte 9 on');
    expectClean(texts);
  });
});
