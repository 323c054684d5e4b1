import { expect, it } from '@jest/globals';
import type { Kinesis } from '@aws-sdk/client-kinesis';
import { lastValueFrom } from 'rxjs';
import { ackEach, decode, json, publish, retryToDlq, type TelemetryEvent } from '../../lib/index.js';
import { fromKinesis, kinesisPublisher } from '../../lib/kinesis.js';
import { memoryLeaseStore } from '../../lib/memory.js';
import { describeKinesis } from '../servers/describe-kinesis.js';
import { freePorts } from '../servers/free-ports.js';
import { until } from '../support/until.js';
import { printedBy, textsOfError, textsOfEvent } from './our-texts.js';

const SECRET = 'hunter2-of-the-identity';
const VALUE = 'canary 4111 of a value';
const SECRETS = [SECRET, 'AKIACANARY', '4111', 'canary'];

const expectClean = (texts: readonly string[]): void => {
  for (const text of texts) for (const secret of SECRETS) expect(text).not.toContain(secret);
};

/** Changes the signature of each request once it is made, as a proxy does or a wrong key. */
const signing = (client: Kinesis, authorization: string | undefined): Kinesis => {
  client.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { readonly headers: Record<string, string> };
      if (authorization === undefined) delete headers['authorization'];
      else headers['authorization'] = authorization;
      return next(args);
    },
    { step: 'deserialize', name: 'spec' },
  );
  return client;
};

describeKinesis('kinesalite', 'no text of ours shows a secret of Kinesis or a message', (kinesis) => {
  const credentials = { accessKeyId: 'AKIACANARY4111', secretAccessKey: SECRET };

  const sayings = async (client: Kinesis, code: string): Promise<string[]> => {
    const texts: string[] = [];
    const printed = await printedBy(async () => {
      const reading = fromKinesis(client, { stream: 's', consumer: 'c', leases: memoryLeaseStore() });
      const publishing = publish(kinesisPublisher(client, { stream: 's' }), [{ key: VALUE, value: VALUE }]);
      for (const each of [reading, publishing]) {
        const error: unknown = await lastValueFrom(each as typeof publishing).catch((failure: unknown) => failure);
        expect(error).toMatchObject({ code });
        texts.push(...textsOfError(error));
      }
    });
    return [...texts, ...printed];
  };

  it.each([
    ['is no signature', `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}, Signature=${SECRET}`],
    ['is missing', undefined],
    ['is of another kind', `Bearer ${SECRET}`],
  ])('where what is signed %s', async (_, authorization) => {
    const client = signing(kinesis().newKinesis({ credentials }), authorization);
    expectClean(await sayings(client, 'authentication-failed'));
  });

  it('where the client finds no credentials, and says what it found', async () => {
    const failing = (): Promise<never> =>
      Promise.reject(Object.assign(new Error(`cannot parse token=${SECRET}`), { name: 'CredentialsProviderError' }));
    expectClean(await sayings(kinesis().newKinesis({ credentials: failing }), 'authentication-failed'));
  });

  it('where nobody listens', async () => {
    const endpoint = `http://app:${SECRET}@127.0.0.1:${(await freePorts(1))[0]}`;
    expectClean(await sayings(kinesis().newKinesis({ credentials, endpoint }), 'connection-failed'));
  });

  it('that the service refuses, or that becomes a dead letter', async () => {
    const stream = await kinesis().createStream({ shards: 1 });
    const client = kinesis().newKinesis();
    await kinesis().put(stream, 1, { key: () => VALUE, data: () => `{"card": ${VALUE}` });
    const events: TelemetryEvent[] = [];
    const printed = await printedBy(async () => {
      const telemetry = (event: TelemetryEvent): void => void events.push(event);
      const deadLetters = kinesisPublisher(client, { stream, maxRecordBytes: 40, headers: 'drop' });
      const subscription = fromKinesis(client, {
        stream,
        consumer: 'c',
        leases: memoryLeaseStore(),
        start: 'earliest',
        telemetry,
      })
        .pipe(retryToDlq({ deadLetters }), decode(json()), ackEach())
        .subscribe();
      await until('it is refused', () => events.some(({ type }) => type === 'undeliverable'));
      subscription.unsubscribe();
      await until('it is closed', () => events.some(({ type }) => type === 'closed'));
    });
    const large = kinesisPublisher(client, { stream, maxRecordBytes: 5_000_000, maxBatchBytes: 5_000_000 });
    const outcomes = await lastValueFrom(publish(large, [{ key: VALUE, value: VALUE.repeat(100_000) }]));
    const errors = outcomes.map((outcome) => (outcome as { readonly error?: unknown }).error);
    const texts = [...events.flatMap(textsOfEvent), ...errors.flatMap(textsOfError), ...printed];
    expect(texts.join('\n')).toContain('does not take this message: ');
    expect(texts.join('\n')).toContain('bytes are more than maxRecordBytes, 40');
    expectClean(texts);
  });
});
