import { describe, expect, it } from '@jest/globals';
import { logLevel, type Kafka, type KafkaConfig } from 'kafkajs';
import { lastValueFrom, type Observable } from 'rxjs';
import { ackEach, decode, handle, json, publish, retryToDlq, type TelemetryEvent } from '../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../lib/kafka.js';
import { describeKafka, itSasl } from '../servers/describe-kafka.js';
import { freePorts } from '../servers/free-ports.js';
import { kafkaTestClient } from '../servers/kafka-test-client.js';
import { sharedKafka } from '../servers/shared-kafka.js';
import { until } from '../support/until.js';
import { printedBy, textsOfError, textsOfEvent } from './our-texts.js';

const PASSWORD = 'hunter2-of-the-client';
const VALUE = 'canary 4111 of a value';
const SECRETS = [PASSWORD, '4111', 'canary'];

const expectClean = (texts: readonly string[]): void => {
  for (const text of texts) for (const secret of SECRETS) expect(text).not.toContain(secret);
};

const failureOf = (source: Observable<unknown>): Promise<unknown> =>
  lastValueFrom(source, { defaultValue: null }).catch((error: unknown) => error);

/** A client that tells all it logs, and what it has logged. */
const logging = (config: Partial<KafkaConfig>): { readonly kafka: Kafka; readonly logged: string[] } => {
  const logged: string[] = [];
  const client = kafkaTestClient({ brokers: [...(config.brokers as string[])] });
  const logCreator = () => (entry: unknown) => void logged.push(JSON.stringify(entry));
  return { logged, kafka: client.newKafka({ logLevel: logLevel.WARN, logCreator, ...config }) };
};

/** What source and publisher say of a client that cannot work. */
async function sayings({ kafka, logged }: ReturnType<typeof logging>, code: string): Promise<string[]> {
  let errors: unknown[] = [];
  const printed = await printedBy(async () => {
    errors = await Promise.all([
      failureOf(fromKafka(kafka, { groupId: 'secrets', topics: ['t'] })),
      failureOf(publish(kafkaPublisher(kafka, { topic: 't' }), [{ key: VALUE, value: VALUE }])),
    ]);
  });
  for (const error of errors) expect(error).toMatchObject({ code });
  expect(logged.length).toBeGreaterThan(0);
  return [...errors.flatMap(textsOfError), ...printed, ...logged];
}

describe('no text of ours shows a password of Kafka', () => {
  it('where nobody listens', async () => {
    const brokers = [`127.0.0.1:${(await freePorts(1))[0]}`];
    const sasl = { mechanism: 'plain', username: 'app', password: PASSWORD } as const;
    expectClean(await sayings(logging({ brokers, sasl, retry: { retries: 0 } }), 'connection-failed'));
  });
});

describeKafka('no text of ours shows a secret of Kafka or a message', (kafka) => {
  itSasl.each(['plain', 'scram-sha-256'] as const)('where the broker refuses credentials by %s', async (mechanism) => {
    const { sasl } = await sharedKafka();
    if (sasl === undefined) throw new Error('no SASL listener');
    const client = logging({
      brokers: [...sasl.brokers],
      ssl: { ca: [sasl.ca] },
      sasl: { mechanism: mechanism as 'plain', username: sasl.username, password: PASSWORD },
      retry: { retries: 0 },
    });
    expectClean(await sayings(client, 'authentication-failed'));
  });

  it('that is too large for its topic, or has no place in it', async () => {
    const topic = await kafka().createTopic({ partitions: 1, config: { 'max.message.bytes': '1000' } });
    let errors: unknown[] = [];
    const printed = await printedBy(async () => {
      const large = { key: VALUE, value: VALUE.repeat(1_000), headers: { trace: VALUE } };
      const odd = { value: VALUE, partition: VALUE as never };
      const outcomes = await lastValueFrom(publish(kafkaPublisher(kafka().newKafka(), { topic }), [large, odd]));
      errors = outcomes.map((outcome) => (outcome as { readonly error?: unknown }).error);
    });
    const texts = [...errors.flatMap(textsOfError), ...printed];
    expect(texts.join('\n')).toContain('MESSAGE_TOO_LARGE');
    expect(texts.join('\n')).toContain('a partition must be a whole number');
    expectClean(texts);
  });

  it('that becomes a dead letter, or whose dead letter is refused', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const [letters, small] = await Promise.all([
      kafka().createTopic({ partitions: 1 }),
      kafka().createTopic({ partitions: 1, config: { 'max.message.bytes': '100' } }),
    ]);
    await kafka().send(topic, [{ key: VALUE, value: `{"card": ${VALUE}`, headers: { trace: VALUE } }]);
    const client = kafka().newKafka();
    const run = async (deadLetters: string, isOver: (type: string) => boolean): Promise<string[]> => {
      const events: TelemetryEvent[] = [];
      const printed = await printedBy(async () => {
        const telemetry = (event: TelemetryEvent): void => void events.push(event);
        const subscription = fromKafka(client, { groupId: kafka().groupId(), topics: [topic], telemetry })
          .pipe(
            retryToDlq({ deadLetters: kafkaPublisher(client, { topic: deadLetters }) }),
            decode(json()),
            handle(() => undefined),
            ackEach(),
          )
          .subscribe();
        await until('it is over', () => events.some(({ type }) => isOver(type)));
        subscription.unsubscribe();
        await until('it is closed', () => events.some(({ type }) => type === 'closed'));
      });
      return [...events.flatMap(textsOfEvent), ...printed];
    };
    const texts = [
      ...(await run(letters, (type) => type === 'dead-lettered')),
      ...(await run(small, (type) => type === 'undeliverable')),
    ];
    expect(texts.join('\n')).toContain('bytes that are not JSON from byte 9 on');
    expectClean(texts);
    const [letter] = await kafka().readAll(letters);
    const added = Object.entries(letter?.headers ?? {}).filter(([name]) => name.startsWith('dead-letter-'));
    expect(added.length).toBeGreaterThan(8);
    expectClean(added.map(([, value]) => String(value)));
  });
});
