import { afterEach, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { BehaviorSubject, delay, filter, take } from 'rxjs';
import { ackEach, constant, handle, retryToDlq, type TelemetryEvent } from '../../../lib/index.js';
import { fromKafka, kafkaPublisher, type KafkaSourceOptions } from '../../../lib/kafka.js';
import { describeKafka } from '../../servers/describe-kafka.js';
import type { KafkaTestClient } from '../../servers/kafka-test-client.js';
import { lagTruth, type ToldLag } from '../../support/lag-truth.js';
import { until } from '../../support/until.js';

const EVERY_MS = 200;

const readers: { stop(): Promise<void> }[] = [];

/** A member of a group that does its work while `open`, fails while `failing`, and tells its lag. */
function follow(kafka: KafkaTestClient, options: Pick<KafkaSourceOptions, 'groupId' | 'topics'>, more: object = {}) {
  const open = new BehaviorSubject(true);
  const events: TelemetryEvent[] = [];
  const truth = lagTruth();
  const stop = new AbortController();
  const state = { failing: false, paceMs: 0 };
  const work = (): unknown => {
    if (state.failing) throw new Error('not now');
    const opened = open.pipe(filter(Boolean), take(1));
    return state.paceMs === 0 ? opened : opened.pipe(delay(state.paceMs));
  };
  fromKafka(kafka.newKafka(), {
    ...options,
    lagEveryMs: EVERY_MS,
    stop: stop.signal,
    telemetry: (event) => {
      events.push(event);
      truth.telemetry(event);
    },
    ...more,
  })
    .pipe(
      retryToDlq({
        maxRetries: 1_000_000,
        backoff: constant(100),
        deadLetters: kafkaPublisher(kafka.newKafka(), { topic: options.topics[0] as string }),
      }),
      handle(work as () => Promise<unknown>, { concurrency: 4 }),
      ackEach(),
    )
    .subscribe();
  const { told } = truth;
  const reader = {
    truth,
    told,
    events,
    open,
    state,
    /** Waits until the next lags of a partition are told, and answers with them. */
    next: async (lags: number, partition = 0): Promise<ToldLag[]> => {
      const from = told.length;
      const mine = (): ToldLag[] => told.slice(from).filter((lag) => lag.partition === partition);
      await until(`${lags} lags are told of ${partition}`, () => mine().length >= lags);
      return mine();
    },
    until: (what: string, holds: (lag: ToldLag) => boolean): Promise<void> =>
      until(what, () => {
        const last = told.at(-1);
        return last !== undefined && holds(last);
      }),
    stop: async (): Promise<void> => {
      open.next(true);
      state.failing = false;
      stop.abort();
      await until('it is closed', () => events.some(({ type }) => type === 'closed'));
    },
  };
  readers.push(reader);
  return reader;
}

describeKafka('the lag that fromKafka tells, against the truth', (kafka) => {
  afterEach(async () => {
    for (const reader of readers.splice(0)) await reader.stop();
  });

  it('on an idle topic, through back-pressure, a pause, a stuck handler, retries and full speed', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const groupId = kafka().groupId();
    const reader = follow(kafka(), { groupId, topics: [topic] }, { maxInFlight: 8 });
    const { truth } = reader;
    const produce = async (count: number): Promise<void> => {
      for (let left = count; left > 0; left -= 2_000) {
        const messages = Math.min(left, 2_000);
        const confirmed = truth.sending(0, messages);
        await kafka().produce(topic, messages);
        confirmed();
      }
    };

    // An idle topic.
    await reader.until('it reads', ({ lag }) => lag === 0);
    for (const { lag, truth: is } of await reader.next(4)) expect([lag, is]).toEqual([0, 0]);

    // Back-pressure: more than a partition holds, and more still while it is paused.
    reader.open.next(false);
    await produce(40_000);
    // A partition holds 4 MiB, of which each of these takes some 260 bytes.
    await reader.until('it is full', ({ lag, buffered }) => lag === 40_000 && buffered > 10_000);
    const [full] = (await reader.next(4)).slice(-1);
    expect(full).toMatchObject({ lag: 40_000, truth: 40_000, inFlight: 8 });
    await produce(5_000);
    const stuck = (await reader.next(5)).slice(2);
    for (const { lag, buffered } of stuck) expect([lag, buffered]).toEqual([45_000, full?.buffered]);

    // Waiting for a retry.
    reader.state.failing = true;
    reader.open.next(true);
    await until('they are tried again', () => reader.events.filter(({ type }) => type === 'retried').length > 20);
    const failing = await reader.next(3);
    for (const { lag } of failing) expect(lag).toBe(45_000 - truth.watermark(0));
    expect(failing.every(({ inFlight }) => inFlight === 8)).toBe(true);
    reader.state.failing = false;

    // Full speed, beside a producer.
    for (let turn = 0; turn < 10; turn++) {
      await produce(2_000);
      await sleep(50);
    }
    await reader.until('all is done', ({ lag }) => lag === 0);
    const [last] = (await reader.next(2)).slice(-1);
    expect(last).toMatchObject({ lag: 0, truth: 0 });
    expect(truth.watermark(0)).toBe(Number((await kafka().endOffsets(topic))[0]));
    await until('it is committed', async () => (await kafka().committed(groupId, topic))[0] === 65_000n);

    expect(truth.lies()).toEqual([]);
    const { messages, ageMs } = truth.largestError();
    console.log(
      `${truth.told.length} lags told by fromKafka each ${EVERY_MS} ms of up to 45,000: the largest error ${messages} messages, told to be ` +
        `${ageMs} ms old, with up to 2,000 a request on their way; the oldest ${truth.oldest()} ms`,
    );
  });

  it('through a rebalance: who has a partition by then goes on from its commit', async () => {
    const topic = await kafka().createTopic({ partitions: 2 });
    const groupId = kafka().groupId();
    const both = { groupId, topics: [topic] };
    const options = { maxInFlight: 8, commitIntervalMs: 50, drainOnRebalance: false };
    const first = follow(kafka(), both, options);
    first.state.paceMs = 5;
    await first.until('it reads', ({ lag }) => lag === 0);
    await kafka().produce(topic, 3_000, { partition: (index) => index % 2 });
    await until('some are done', () => first.truth.watermark(0) > 50 && first.truth.watermark(1) > 50);
    first.open.next(false);
    for (const partition of [0, 1]) {
      const [last] = (await first.next(3, partition)).slice(-1);
      expect(last?.lag).toBe(1_500 - first.truth.watermark(partition));
      expect(last?.lag).toBeGreaterThan(0);
    }

    const second = follow(kafka(), both, options);
    second.open.next(false);
    await until('the second has one', () => second.told.some(({ lag }) => lag !== undefined));
    const [mine] = second.told.map(({ partition }) => partition as number);
    const other = 1 - (mine as number);
    for (const [member, partition] of [
      [first, other],
      [second, mine as number],
    ] as const) {
      await member.next(3, partition);
      const committed = (await kafka().committed(groupId, topic))[partition] as bigint;
      const end = (await kafka().endOffsets(topic))[partition] as bigint;
      const [last] = (await member.next(2, partition)).slice(-1);
      expect(last?.lag).toBe(Number(end - committed));
      expect(last?.lag).toBe(1_500 - first.truth.watermark(partition));
    }
    for (const member of [first, second]) {
      member.state.paceMs = 0;
      member.open.next(true);
    }
    for (const member of [first, second]) await member.until('all is done', ({ lag }) => lag === 0);
    await until('all is committed', async () =>
      (await kafka().committed(groupId, topic)).every((offset) => offset === 1_500n),
    );
  });

  it('beside an open transaction: what may not be read yet is not waited for, and its markers are no lag', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const reader = follow(kafka(), { groupId: kafka().groupId(), topics: [topic] });
    const producer = kafka()
      .newKafka()
      .producer({ transactionalId: kafka().groupId('tx'), idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    await kafka().produce(topic, 5);
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: 'a' }, { value: 'b' }] });
    await kafka().produce(topic, 5, { first: 5 });
    await until('all before it is done', () => reader.truth.watermark(0) === 5);
    for (const { lag } of (await reader.next(4)).slice(1)) expect(lag).toBe(0);
    await transaction.commit();
    await producer.disconnect();
    await until('all is done', () => reader.events.filter(({ type }) => type === 'settled').length === 12);
    // The marker, which is no message, has an offset.
    await reader.until('the marker is passed', ({ lag }) => lag === 0);
    for (const { lag } of await reader.next(3)) expect(lag).toBe(0);
  });
});
