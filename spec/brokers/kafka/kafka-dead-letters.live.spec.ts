import { createHash } from 'node:crypto';
import { expect, it } from '@jest/globals';
import { of, type Subscription } from 'rxjs';
import { ackEach, handle, retryToDlq, type OnUndeliverable, type TelemetryEvent } from '../../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../../lib/kafka.js';
import { describeKafka } from '../../servers/describe-kafka.js';

describeKafka('dead letters on a real broker (I6)', (kafka) => {
  /** Message `bad` always fails; the others pass. */
  const run = (
    topic: string,
    groupId: string,
    dlq: string,
    events: TelemetryEvent[],
    passed: string[],
    onUndeliverable?: OnUndeliverable,
  ): Subscription => {
    const client = kafka().newKafka();
    return fromKafka(client, {
      groupId,
      topics: [topic],
      drainTimeoutMs: 500,
      telemetry: (event) => void events.push(event),
    })
      .pipe(
        retryToDlq({
          maxRetries: 0,
          deadLetters: kafkaPublisher(client, { topic: dlq }),
          ...(onUndeliverable === undefined ? {} : { onUndeliverable }),
        }),
        handle((value) => {
          const text = Buffer.from(value as Uint8Array).toString();
          if (text.startsWith('bad')) throw new Error('always');
          return of(text);
        }),
        ackEach(),
      )
      .subscribe((value) => passed.push(value));
  };

  it('publishes size and digest of a value that its topic refuses as too large, says so, and goes on', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const dlq = await kafka().createTopic({ partitions: 1, config: { 'max.message.bytes': '2000' } });
    const groupId = kafka().groupId();
    const value = `bad${'x'.repeat(5_000)}`;
    await kafka().send(topic, [{ value, key: 'k' }, { value: 'a' }]);
    const events: TelemetryEvent[] = [];
    const passed: string[] = [];
    const subscription = run(topic, groupId, dlq, events, passed);
    await until(async () => (await kafka().committed(groupId, topic))[0] === 2n);
    expect(passed).toEqual(['a']);
    expect(events.filter(({ type }) => type === 'undeliverable')).toHaveLength(1);
    const letters = await kafka().readAll(dlq);
    expect(letters).toHaveLength(1);
    expect(JSON.parse(String(letters[0]?.value))).toMatchObject({
      original: null,
      encoding: 'digest',
      bytes: 5_003,
      sha256: createHash('sha256').update(value).digest('hex'),
      error: { source: { topic, partition: 0, position: '0' } },
    });
    subscription.unsubscribe();
    await until(() => events.some(({ type }) => type === 'closed'));
  });

  it("holds such a letter with onUndeliverable: 'hold', says so, and lets others pass", async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const dlq = await kafka().createTopic({ partitions: 1, config: { 'max.message.bytes': '2000' } });
    const groupId = kafka().groupId();
    await kafka().send(topic, [{ value: `bad${'x'.repeat(5_000)}` }, { value: 'a' }]);
    const events: TelemetryEvent[] = [];
    const passed: string[] = [];
    const subscription = run(topic, groupId, dlq, events, passed, 'hold');
    await until(() => events.some(({ type }) => type === 'undeliverable') && passed.length === 1);
    expect(passed).toEqual(['a']);
    await pause(700);
    const [committed] = await kafka().committed(groupId, topic);
    expect(committed).toBe(0n);
    await expect(kafka().readAll(dlq)).resolves.toEqual([]);
    subscription.unsubscribe();
    await until(() => events.some(({ type }) => type === 'closed'));
  });

  it('holds a dead letter whose topic does not exist, lets others pass, and publishes it once the topic is there', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const dlq = `${topic}-dlq`;
    const groupId = kafka().groupId();
    await kafka().send(
      topic,
      ['a', 'bad', 'b'].map((value) => ({ value })),
    );
    const events: TelemetryEvent[] = [];
    const passed: string[] = [];
    const subscription = run(topic, groupId, dlq, events, passed);
    await until(() => passed.length === 2 && events.some(({ type }) => type === 'unavailable'));
    await pause(700);
    // The watermark waits for the dead letter (I1).
    await expect(kafka().committed(groupId, topic)).resolves.toEqual([1n]);

    const admin = kafka().newKafka().admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: dlq, numPartitions: 1 }], waitForLeaders: false });
    await until(() => events.some(({ type }) => type === 'dead-lettered'));
    await until(async () => (await kafka().committed(groupId, topic))[0] === 3n);
    await expect(kafka().committed(groupId, topic)).resolves.toEqual([3n]);
    expect((await kafka().readAll(dlq)).map(({ value }) => String(value))).toEqual(['bad']);
    expect(passed).toEqual(['a', 'b']);
    subscription.unsubscribe();
    await until(() => events.some(({ type }) => type === 'closed'));
    // Last: a client of kafkajs that has seen a topic fails once that is gone.
    await admin.deleteTopics({ topics: [dlq] });
    await admin.disconnect();
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(holds: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!(await holds()) && performance.now() < limit) await pause(20);
}
