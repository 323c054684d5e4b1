import { describe, expect, it } from '@jest/globals';
import { describeIf } from '../servers/describe-if.js';
import { describeKafka } from '../servers/describe-kafka.js';
import type { KafkaTestClient } from '../servers/kafka-test-client.js';
import { whyNoKafka } from '../servers/why-no-kafka.js';
import { runExample, type ExampleRun } from '../support/run-example.js';

const earthquakes = (env: Readonly<Record<string, string>>, interruptAt?: string): Promise<ExampleRun> =>
  runExample('01-earthquakes', { args: ['--kafka'], env, ...(interruptAt !== undefined && { interruptAt }) });

/** The topics and groups of the broker, which may be the user's own. */
async function allOn(kafka: KafkaTestClient): Promise<string[]> {
  const admin = kafka.newKafka().admin();
  await admin.connect();
  const topics = await admin.listTopics();
  const { groups } = await admin.listGroups();
  await admin.disconnect();
  const names = [...topics, ...groups.map(({ groupId }) => groupId)];
  return names.filter((name) => name.startsWith('quake')).sort();
}

const SUMS = ['3,414', '1,635', '144', '88 × ', '56 × ', 'Taiwan', 'The sums add up'];

describeKafka('the earthquakes example on a given Kafka', (kafka) => {
  const given = () => ({ KAFKA_BROKERS: kafka().brokers.join(',') });

  it('comes to the same sums, and leaves no topic and no group behind', async () => {
    const before = await allOn(kafka());
    const { code, stdout, stderr } = await earthquakes(given());
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const text of ['on the Kafka of KAFKA_BROKERS', '  3414/3414 messages settled\n', ...SUMS]) {
      expect(stdout).toContain(text);
    }
    await expect(allOn(kafka())).resolves.toEqual(before);
  });

  it('stops cleanly at Ctrl-C, and leaves nothing behind either', async () => {
    const before = await allOn(kafka());
    const { code, stdout, stderr } = await earthquakes(given(), 'messages settled');
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    expect(stdout).toContain('Stopped: what was out has settled');
    expect(stdout).not.toContain('3414/3414');
    await expect(allOn(kafka())).resolves.toEqual(before);
  });
});

describeIf('the earthquakes example on a Kafka of its own', await whyNoKafka(), () => {
  it('starts one, comes to the same sums, and ends it', async () => {
    const { code, stdout, stderr } = await earthquakes({ KAFKA_BROKERS: '' });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const text of ['on an Apache Kafka of its own', ...SUMS]) expect(stdout).toContain(text);
  });
});

describe('the earthquakes example without a Kafka', () => {
  it('says what is missing and what to do', async () => {
    const { code, stderr } = await earthquakes({ KAFKA_BROKERS: '', JAVA_HOME: '/nowhere' });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^No Kafka: Java 17 or later is missing\..* KAFKA_BROKERS=.* npm start -- --kafka\n$/);
  });

  it('says that no broker answers', async () => {
    const { code, stderr } = await earthquakes({ KAFKA_BROKERS: '127.0.0.1:1' });
    expect(code).toBe(1);
    expect(stderr).toContain('ECONNREFUSED 127.0.0.1:1');
  });
});
