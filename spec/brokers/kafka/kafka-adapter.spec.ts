import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { environment } from '../../../lib/core/environment.js';
import { NEVER, of, Subject, timer } from 'rxjs';
import kafkajs from 'kafkajs';
import { ackEach, handle, type TelemetryEvent } from 'rxsluice';
import { fromKafka } from 'rxsluice/kafka';
import { fakeKafka, kafkaJsError, protocolError, type FakeKafka, type FakeStep } from '../../support/kafka-fake.js';
import { consumerOf, pass, reader } from '../../support/kafka-reader.js';

const { random } = environment;
beforeEach(() => {
  jest.useFakeTimers();
  // The longest wait of a jitter, so that restarts can be told.
  environment.random = () => 0.999_999;
});
afterEach(() => {
  jest.useRealTimers();
  environment.random = random;
});

const letters = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`);
const ids = (...offsets: number[]): string[] => offsets.map((offset) => `0/${offset}#1`);
const connectionError = (): Error => kafkaJsError('KafkaJSConnectionError', undefined, { retriable: true });
const exceeded = (): Error => kafkaJsError('KafkaJSNumberOfRetriesExceeded', undefined, { cause: connectionError() });

function filled(count = 4, partitions = 1): FakeKafka {
  const kafka = fakeKafka({ t: partitions });
  for (let partition = 0; partition < partitions; partition++) kafka.append('t', partition, ...letters(count));
  return kafka;
}

/** Everything is closed: no connection, no timer (I8). */
function expectNothingLeft(kafka: FakeKafka): void {
  expect([kafka.open, jest.getTimerCount()]).toEqual([0, 0]);
}

describe('a rebalance', () => {
  it('waits for what is started and its commit, then joins; nothing is repeated (I4)', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    read.ack(0, 1);
    void consumerOf(kafka).rebalance();
    await pass(1_000);
    expect(read.of('assigned')).toHaveLength(1);
    read.ack();
    await pass();
    expect(read.of('revoked')).toMatchObject([{ drained: true }]);
    expect([read.of('assigned').length, kafka.committed.get('t/0')?.offset]).toEqual([2, '4']);
    kafka.append('t', 0, 'next');
    await pass();
    expect(read.ids).toEqual(ids(0, 1, 2, 3, 4));
  });

  it('is cut off after drainTimeoutMs: what is not done comes again, and late acks are void (I5)', async () => {
    const kafka = filled();
    const read = reader(kafka, { drainTimeoutMs: 2_000 });
    await pass();
    read.ack(0);
    void consumerOf(kafka).rebalance();
    await pass(1_990);
    expect(read.of('assigned')).toHaveLength(1);
    await pass(200);
    expect([read.of('assigned').length, read.ids.slice(4)]).toEqual([2, ids(1, 2, 3)]);
    for (const delivery of read.all.slice(1, 4)) delivery.ack();
    await pass();
    expect([kafka.commits.at(-1), read.of('stale-settlement').length]).toEqual(['t/0:1', 3]);
  });

  it('cuts off at once by drainOnRebalance: false, with what is done committed', async () => {
    const kafka = filled();
    const read = reader(kafka, { drainOnRebalance: false });
    await pass();
    read.ack(0, 1);
    void consumerOf(kafka).rebalance();
    await pass(200);
    expect(read.of('revoked')).toMatchObject([{ drained: false }]);
    expect([kafka.committed.get('t/0')?.offset, read.ids.slice(4)]).toEqual(['2', ids(2, 3)]);
  });

  it('that kafkajs says nothing of is drained before the join all the same', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    void consumerOf(kafka).rebalance({ quietly: true });
    await pass();
    expect(read.of('assigned')).toHaveLength(1);
    read.ack();
    await pass();
    expect([read.of('assigned').length, kafka.commits.at(-1), read.ids.length]).toEqual([2, 't/0:4', 4]);
  });

  it('takes nothing more of a partition that goes to another member, whose position no late ack moves (I5)', async () => {
    const kafka = filled(4, 2);
    const read = reader(kafka, { drainTimeoutMs: 100 });
    await pass();
    kafka.assignment = { t: [1] };
    void consumerOf(kafka).rebalance();
    await pass(2_000);
    const before = kafka.commits.length;
    kafka.committed.set('t/0', { offset: '3', metadata: null });
    for (const delivery of read.all.filter(({ id }) => id.startsWith('t/0/'))) delivery.ack();
    await pass();
    expect([kafka.commits.slice(before), kafka.committed.get('t/0')?.offset]).toEqual([[], '3']);
    expect([...consumerOf(kafka).assigned]).toEqual(['t/1']);
  });

  it('states anew what is paused: nothing is fetched before the start is known, then all that has room', async () => {
    const kafka = filled(4, 2);
    const read = reader(kafka);
    await pass();
    read.ack();
    await pass();
    const release = kafka.hold('fetchOffsets');
    void consumerOf(kafka).rebalance();
    await pass();
    expect([...consumerOf(kafka).paused].sort()).toEqual(['t/0', 't/1']);
    release();
    await pass();
    expect(consumerOf(kafka).paused.size).toBe(0);
  });
});

describe('a queue that is full', () => {
  it('pauses its partition, resumes it at half, and a join in between resumes it too: its queue is gone', async () => {
    const kafka = fakeKafka();
    const big = 'x'.repeat(1_500_000);
    kafka.append('t', 0, ...Array.from({ length: 8 }, () => big));
    kafka.fetchRecords = 1;
    const read = reader(kafka, { maxInFlight: 1, drainTimeoutMs: 100 });
    await pass();
    const consumer = consumerOf(kafka);
    expect([read.ids.length, consumer.paused.has('t/0'), consumer.resolved.length]).toEqual([1, true, 4]);
    for (let i = 0; i < 2; i++) read.all.at(-1)?.ack();
    await pass();
    expect([consumer.resolved.length, consumer.paused.has('t/0')]).toEqual([6, true]);
    void consumer.rebalance();
    await pass(1_500);
    expect([consumer.paused.has('t/0'), read.ids.at(-1), consumer.resolved.at(6)]).toEqual([true, '0/2#1', 't/0:2']);
  });

  it('keeps a partition paused that is to be read again meanwhile', async () => {
    const kafka = filled(4, 2);
    const read = reader(kafka, { maxInFlight: 8, maxBufferedBytes: 5_000 });
    await pass();
    const consumer = consumerOf(kafka);
    const release = kafka.hold('admin');
    for (let i = 0; i < 2; i++) await consumer.deliver('t', 1, 0);
    kafka.append('t', 0, 'x'.repeat(6_000));
    await pass();
    release();
    await pass();
    expect([...consumer.paused].sort()).toEqual(['t/0', 't/1']);
    read.ack();
    await pass();
    expect(consumer.paused.size).toBe(0);
  });
});

describe('commits', () => {
  it.each(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION'] as const)(
    'refused by %s void all that is out: it comes again after the join, and no late ack counts (I5)',
    async (type) => {
      const kafka = filled(4, 2);
      const read = reader(kafka);
      await pass();
      const consumer = consumerOf(kafka);
      consumer.fenced = type;
      const { length } = kafka.commits;
      read.all[0]?.ack();
      await pass();
      expect(read.of('revoked')).toMatchObject([{ drained: false }, { drained: false }]);
      expect(read.of('ack-failed')).toMatchObject([{ error: { message: expect.stringContaining(type) as unknown } }]);
      read.ack();
      await pass(1_000);
      expect([kafka.commits.length, read.of('stale-settlement').length]).toEqual([length, 8]);
      // What is fetched meanwhile is nobody's.
      await consumer.deliver('t', 0, 4);
      void consumer.rebalance({ quietly: true });
      await pass();
      expect(read.ids.slice(8).sort()).toEqual(read.ids.slice(0, 8).sort());
      for (const delivery of read.all.slice(8)) delivery.ack();
      await pass();
      expect([kafka.committed.get('t/0')?.offset, kafka.committed.get('t/1')?.offset]).toEqual(['4', '4']);
    },
  );

  it('that fail otherwise are told and tried again with backoff, and nothing is void', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    kafka.fail('commit', protocolError('REQUEST_TIMED_OUT', true), 2);
    read.ack();
    await pass(1_000);
    expect([read.of('ack-failed').length, kafka.commits.at(-1), read.of('revoked')]).toEqual([2, 't/0:4', []]);
  });

  it('are one call for all partitions, after commitEvery messages or commitIntervalMs', async () => {
    const kafka = filled(4, 2);
    const read = reader(kafka, { commitIntervalMs: 5_000, commitEvery: 3 });
    await pass();
    const { length } = kafka.commits;
    read.ack(0, 1);
    await pass(100);
    expect(kafka.commits.length).toBe(length);
    read.all.find(({ id }) => id === 't/0/2')?.ack();
    await pass(10);
    expect(kafka.commits.slice(length)).toEqual(['t/0:3', 't/1:2']);
    read.ack();
    await pass(5_000);
    expect(kafka.commits.slice(length + 2)).toEqual(['t/0:4', 't/1:4']);
  });
});

describe('a consumer that crashes', () => {
  it('of what passes is followed by another, with backoff; the outage is told once, and its end', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    read.ack(0);
    await pass();
    void consumerOf(kafka).crash(exceeded());
    await pass(20);
    expect(read.of('unavailable')).toMatchObject([{ what: 'Kafka', error: { code: 'connection-failed' } }]);
    kafka.fail('connect', exceeded(), 3);
    await pass(10_000);
    expect([kafka.consumers.length, read.of('unavailable').length, read.of('recovered').length]).toEqual([5, 1, 1]);
    expect([read.ends, read.ids.slice(4)]).toEqual([[], ids(1, 2, 3)]);
    for (const delivery of read.all.slice(1, 4)) delivery.ack();
    await pass();
    expect([read.of('stale-settlement').length, kafka.committed.get('t/0')?.offset]).toEqual([3, '1']);
    expect(kafka.open).toBe(1);
  });

  it.each([
    ['authentication-failed', kafkaJsError('KafkaJSSASLAuthenticationError')],
    ['not-authorized', protocolError('GROUP_AUTHORIZATION_FAILED')],
  ] as const)(
    'of a refusal, where it has read for a while, is an outage until refusalTimeoutMs: %s',
    async (code, error) => {
      const kafka = filled();
      const read = reader(kafka, { refusalTimeoutMs: 60_000 });
      await pass();
      read.ack();
      await pass(10_000);
      kafka.fail('connect', error, 3);
      void consumerOf(kafka).crash(error);
      await pass(10_000);
      expect([read.ends, read.of('unavailable').length, read.of('recovered').length]).toEqual([[], 1, 1]);
      await pass(10_000);
      kafka.fail('connect', error, Infinity);
      void consumerOf(kafka).crash(error);
      await pass(50_000);
      expect(read.ends).toEqual([]);
      await pass(60_000);
      expect(read.ends).toEqual([`error ${code}`]);
      await pass(11_000);
      expectNothingLeft(kafka);
    },
  );

  it('of refusals with an outage of the brokers between them does not count that as refused', async () => {
    const kafka = filled();
    const read = reader(kafka, { refusalTimeoutMs: 60_000 });
    await pass();
    read.ack();
    await pass(10_000);
    const refusal = kafkaJsError('KafkaJSSASLAuthenticationError');
    kafka.fail('connect', exceeded(), Infinity);
    void consumerOf(kafka).crash(refusal);
    await pass(90_000);
    kafka.fail('connect', refusal, 1);
    await pass(60_000);
    expect([read.ends, read.of('unavailable').length, read.of('recovered').length]).toEqual([[], 1, 1]);
  });

  it('of a refusal as soon as it has joined ends the stream: to join takes no right to read', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass(1_000);
    void consumerOf(kafka).crash(protocolError('TOPIC_AUTHORIZATION_FAILED'));
    await pass(20);
    expect(read.ends).toEqual(['error not-authorized']);
  });

  it('of a refusal after each join is no outage that ends with the join', async () => {
    const kafka = filled();
    const read = reader(kafka, { refusalTimeoutMs: 30_000 });
    await pass(11_000);
    read.ack();
    for (let tries = 0; tries < 12 && read.ends.length === 0; tries++) {
      void consumerOf(kafka).crash(protocolError('TOPIC_AUTHORIZATION_FAILED'));
      await pass(9_000);
    }
    expect(read.ends).toEqual(['error not-authorized']);
  });

  it('of what is final ends the stream with a typed error, and leaves nothing', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    read.ack();
    void consumerOf(kafka).crash(kafkaJsError('KafkaJSNotImplemented'));
    await pass(20);
    expect(read.ends).toEqual(['error unsupported']);
    await pass(20_000);
    expect(read.closed()).toBe(true);
    expectNothingLeft(kafka);
  });

  it.each([
    ['connection-failed', 'connect', connectionError()],
    ['authentication-failed', 'connect', kafkaJsError('KafkaJSSASLAuthenticationError')],
    ['not-authorized', 'join', protocolError('GROUP_AUTHORIZATION_FAILED')],
    ['not-authorized', 'admin', protocolError('TOPIC_AUTHORIZATION_FAILED')],
    ['connection-failed', 'admin', exceeded()],
  ] as const)('before it first joined is a typed error at once: %s in %s', async (code, step, error) => {
    const kafka = filled();
    kafka.fail(step, error, Infinity);
    const read = reader(kafka);
    await pass(10);
    expect(read.ends).toEqual([`error ${code}`]);
    await pass(11_000);
    expect(read.closed()).toBe(true);
    expectNothingLeft(kafka);
  });

  it('before it first joined of what passes is followed by another', async () => {
    const kafka = filled();
    kafka.fail('join', protocolError('COORDINATOR_LOAD_IN_PROGRESS', true), 2);
    const read = reader(kafka);
    await pass(5_000);
    expect([read.ends, read.ids.length, kafka.consumers.length]).toEqual([[], 4, 3]);
  });

  it('names a topic that does not exist, and opens no consumer', async () => {
    const kafka = filled();
    const read = reader(kafka, { topics: ['t', 'nope'] });
    await pass(10);
    expect(read.ends).toEqual(['error unknown-topic']);
    await pass(11_000);
    expect(kafka.consumers).toEqual([]);
    expectNothingLeft(kafka);
  });

  it('is closed before `closed` is told, also where it takes its time (I8)', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    read.ack();
    await pass();
    void consumerOf(kafka).crash(exceeded());
    await pass(10);
    expect(kafka.open).toBe(0);
    // The next one cannot connect, and hangs as it is disconnected.
    kafka.fail('connect', exceeded());
    const release = kafka.hold('disconnect');
    await pass(310);
    read.subscription.unsubscribe();
    await pass(50);
    expect([kafka.consumers.length, kafka.open, read.closed()]).toEqual([2, 1, false]);
    release();
    await pass(10);
    expect([kafka.open, read.closed()]).toEqual([0, true]);
  });
});

describe('silence', () => {
  it('of all brokers for 10 s is an outage, until a fetch is answered', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    const release = kafka.hold('fetch');
    await pass(9_000);
    expect(read.of('unavailable')).toEqual([]);
    await pass(4_000);
    expect(read.of('unavailable')).toMatchObject([{ what: 'Kafka', error: { code: 'connection-failed' } }]);
    release();
    await pass(20);
    expect([read.of('recovered').length, read.ends]).toEqual([1, []]);
  });

  it('during a drain is none', async () => {
    const kafka = filled();
    const read = reader(kafka, { drainTimeoutMs: 25_000 });
    await pass();
    const release = kafka.hold('fetch');
    void consumerOf(kafka).rebalance();
    await pass(20_000);
    expect(read.of('unavailable')).toEqual([]);
    release();
  });
});

describe('an end leaves nothing (I8)', () => {
  it.each<FakeStep>(['admin', 'connect', 'join', 'run', 'fetchOffsets', 'commit', 'disconnect'])(
    'by an unsubscribe while %s hangs',
    async (step) => {
      const kafka = filled();
      const release = kafka.hold(step);
      const read = reader(kafka, { drainTimeoutMs: 500 });
      await pass();
      read.subscription.unsubscribe();
      await pass(300);
      release();
      await pass(2_000);
      expect([read.closed(), read.ends]).toEqual([true, []]);
      expectNothingLeft(kafka);
    },
  );

  it('by an unsubscribe in a join that hangs for good', async () => {
    const kafka = filled();
    kafka.hold('join');
    const read = reader(kafka);
    await pass();
    read.subscription.unsubscribe();
    await pass(100);
    expect(read.closed()).toBe(true);
    expectNothingLeft(kafka);
  });

  it('by an unsubscribe while a rebalance drains', async () => {
    const kafka = filled();
    const events: TelemetryEvent[] = [];
    const subscription = fromKafka(kafka, {
      groupId: 'g',
      topics: ['t'],
      // Gone before the join is tried again.
      fetchMaxWaitMs: 1,
      telemetry: (event) => void events.push(event),
    })
      .pipe(
        handle(() => NEVER, { concurrency: 2 }),
        ackEach(),
      )
      .subscribe();
    await pass(300);
    void consumerOf(kafka).rebalance();
    await pass(300);
    subscription.unsubscribe();
    await pass(500);
    expect(events.at(-1)?.type).toBe('closed');
    expectNothingLeft(kafka);
  });

  it('by an unsubscribe between a crash and the next consumer', async () => {
    const kafka = filled();
    const read = reader(kafka, { drainTimeoutMs: 500 });
    await pass();
    void consumerOf(kafka).crash(exceeded());
    await pass(20);
    read.subscription.unsubscribe();
    await pass(1_000);
    expect([kafka.consumers.length, read.closed()]).toEqual([1, true]);
    expectNothingLeft(kafka);
  });

  it('by stop: what is out settles and is committed, then it completes', async () => {
    const kafka = filled();
    const stop = new AbortController();
    const read = reader(kafka, { stop: stop.signal });
    await pass();
    stop.abort();
    kafka.append('t', 0, 'later');
    await pass(1_000);
    expect([read.ids.length, read.ends, consumerOf(kafka).paused.has('t/0')]).toEqual([4, [], true]);
    read.ack();
    await pass(1_000);
    expect([read.ends, kafka.committed.get('t/0')?.offset]).toEqual([['complete'], '4']);
    expectNothingLeft(kafka);
  });

  it('by stop: what is found afterwards to be read again is not fetched', async () => {
    const kafka = filled(4, 2);
    const stop = new Subject<void>();
    const read = reader(kafka, { stop });
    await pass();
    const consumer = consumerOf(kafka);
    const release = kafka.hold('admin');
    for (let i = 0; i < 2; i++) await consumer.deliver('t', 1, 0);
    stop.next();
    release();
    kafka.append('t', 1, 'later');
    const { length } = consumer.resolved;
    await pass(500);
    expect([consumer.resolved.length, [...consumer.paused].sort()]).toEqual([length, ['t/0', 't/1']]);
    read.ack();
    await pass(500);
    expect(read.ends).toEqual(['complete']);
    expectNothingLeft(kafka);
  });

  it('by stop during the join: nothing is read, and it completes', async () => {
    const kafka = filled();
    const stop = new Subject<void>();
    const release = kafka.hold('join');
    const read = reader(kafka, { stop });
    await pass();
    stop.next();
    release();
    await pass(1_000);
    expect([read.ids, read.ends]).toEqual([[], ['complete']]);
    expectNothingLeft(kafka);
  });
});

describe('two of a group over one client', () => {
  it('a live twin is refused, a successor waits for the close and repeats nothing', async () => {
    const kafka = filled(20);
    const run = (done: string[]) =>
      fromKafka(kafka, { groupId: 'g', topics: ['t'], fetchMaxWaitMs: 10, telemetry: () => undefined })
        .pipe(
          handle((_, { id }) => timer(50).pipe(() => of(id))),
          ackEach(),
        )
        .subscribe((id) => done.push(id));
    const seen: string[] = [];
    const first = run(seen);
    await pass(100);
    const twin = reader(kafka);
    expect(twin.ends).toEqual(['error twin-consumer']);
    await pass(500);
    first.unsubscribe();
    const second = run(seen);
    await pass(2_000);
    kafka.append('t', 0, 'more');
    await pass(500);
    expect([seen.length, new Set(seen).size]).toEqual([21, 21]);
    second.unsubscribe();
    await pass(1_000);
    expectNothingLeft(kafka);
  });
});

describe('members that read different topics', () => {
  it('are told of, by the member that leads', async () => {
    const kafka = fakeKafka({ t: 1, u: 1 });
    const read = reader(kafka);
    await pass();
    const { MemberMetadata } = kafkajs.AssignerProtocol;
    const member = (memberId: string, topic: string) => ({
      memberId,
      memberMetadata: MemberMetadata.encode({ version: 0, topics: [topic], userData: Buffer.alloc(0) }),
    });
    await consumerOf(kafka).assigner.assign({ members: [member('a', 't'), member('b', 'u')], topics: ['t'] });
    expect(read.of('misuse')).toMatchObject([
      { code: 'mixed-topics', message: expect.stringContaining('all of them: t, u') as unknown },
    ]);
  });
});
