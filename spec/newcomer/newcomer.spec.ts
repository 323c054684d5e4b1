import { writeFile } from 'node:fs/promises';
import { expect, it } from '@jest/globals';
import { describeKafka, itSasl } from '../servers/describe-kafka.js';
import { describePostgres } from '../servers/describe-postgres.js';
import { sharedKafka } from '../servers/shared-kafka.js';
import type { Given } from './mistakes.js';
import { runMistake } from './run-mistake.js';

const ORDERS = [
  { key: 'a', value: '{"id":"a","cents":250}' },
  { key: 'b', value: '{"id":"b","cents":990}' },
  { key: 'c', value: 'not json, card 4111-1111-1111-1111' },
];

/** What somebody who has configured nothing reads of a mistake: each text names the cause. `{…}` is a name of this run. */
const TOLD: readonly (readonly [mistake: string, ...texts: readonly RegExp[]])[] = [
  [
    'a topic that is not there',
    /fromKafka \(topic ordres\): the broker says UNKNOWN_TOPIC_OR_PARTITION.*Create it first/,
  ],
  [
    'no broker at all',
    /fromKafka \(group \S+\): KafkaJSConnectionError ECONNREFUSED\. No broker could be reached\. Look at the brokers/,
  ],
  [
    'a handler that throws, above it retryToDlq',
    /message \S+ failed: RangeError at mistakes\.ts:\d+:\d+\. retryToDlq\(\) tries it again/,
    /message \S+ is a dead letter now: RangeError at mistakes\.ts:\d+:\d+/,
    /message \S+ is a dead letter now: .*not JSON/,
  ],
  [
    'a handler that throws, without retryToDlq',
    /message \S+ failed: RangeError at mistakes\.ts:\d+:\d+\. The source runs it again after a wait, without a limit, and it never becomes a dead letter: no retryToDlq\(\) comes before what failed/,
  ],
  ['bad JSON, above it retryToDlq', /message \S+ is a dead letter now: .*not JSON/],
  [
    'bad JSON, without retryToDlq',
    /message \S+ failed: .*not JSON.*\. The source runs it again after a wait, without a limit, and it never becomes a dead letter: no retryToDlq\(\) comes before what failed/,
  ],
  [
    'a topic for dead letters that is not there',
    /the dead-letter publisher is out: kafkaPublisher \(topic orders-dead\): the broker says UNKNOWN_TOPIC_OR_PARTITION.*Create it first/,
    /after the stop \S+ had unsettled deliveries: \d+\. They come again\. .*At the moment the dead-letter publisher is out: kafkaPublisher \(topic orders-dead\)/,
  ],
  [
    'retryToDlq below what fails',
    /retryToDlq\(\) comes too late in the pipe: something before it makes the value .* Put retryToDlq\(\) right after the source/,
  ],
  ['ordered below retryToDlq', /ordered.*retryToDlq/],
  ['map in the middle', /An operator of rxsluice was given .* where a delivery must be/],
  ['no ackEach at the end', /has been unsettled for 2000 ms.*Look whether the pipeline ends with ackEach\(\)/],
  ['options of the wrong kind', /fromKafka: start must be 'earliest', 'latest', a Date or a list of .*, not 'begin'/],
  ['a subscription of Pub/Sub that is not there', /fromPubSub \(subscription billling\): Pub\/Sub says NOT_FOUND/],
  ['acks that Pub/Sub refuses', /acks of \S+ failed: fromPubSub .*PERMISSION_DENIED.*Look at the roles/],
  [
    'in memory, a topic for dead letters that is not there',
    /the dead-letter publisher is out: memoryPublisher: there is no topic orders-dead\. Create it first/,
  ],
];

/** Set to a file, it gets all that was printed. */
const transcript = process.env['NEWCOMER_TRANSCRIPT'];
const printedBy: string[] = [];

async function told(name: string, given: Partial<Given>): Promise<string> {
  const { printed } = await runMistake(name, given);
  printedBy.push(`=== ${name}\n${printed}`);
  if (transcript !== undefined) await writeFile(transcript, printedBy.join('\n'));
  // What was thrown, and what was in a message, is nobody's to print.
  expect(printed).not.toContain('4111');
  expect(printed).not.toContain('hunter2');
  return printed;
}

describeKafka('a newcomer who has made a mistake reads what is wrong', (kafka) => {
  const given = async (): Promise<Given> => {
    const [topic, deadLetters] = await Promise.all([
      kafka().createTopic({ prefix: 'orders', partitions: 1 }),
      kafka().createTopic({ prefix: 'orders-dlq', partitions: 1 }),
    ]);
    await kafka().send(topic, ORDERS);
    const { brokers } = kafka();
    const { sasl } = await sharedKafka();
    return {
      brokers,
      topic,
      deadLetters,
      groupId: kafka().groupId('billing'),
      ...(sasl === undefined ? {} : { sasl }),
    };
  };

  it.each(TOLD)('%s', async (name, ...texts) => {
    const printed = await told(name, await given());
    for (const text of texts) expect(printed).toMatch(text);
  });

  itSasl('a wrong password of Kafka', async () => {
    expect(await told('a wrong password of Kafka', await given())).toMatch(/The broker refused the credentials/);
  });

  describePostgres('with Postgres', (postgres) => {
    it('a wrong password of Postgres', async () => {
      const printed = await told('a wrong password of Postgres', { ...(await given()), postgresUrl: postgres().url });
      expect(printed).toMatch(/the idempotency store is out: .*refused the credentials/);
    });
  });
});
