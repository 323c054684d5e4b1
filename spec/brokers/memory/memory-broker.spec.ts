import { describe, expect, it } from '@jest/globals';
import { concatMap, delay, NEVER, of, repeat, take, type Observable } from 'rxjs';
import {
  ackEach,
  batch,
  constant,
  handle,
  ordered,
  permanent,
  publish,
  retryToDlq,
  unavailable,
  type Delivery,
  type Publisher,
  type PublishOutcome,
  type TelemetryEvent,
} from 'rxsluice';
import {
  fromMemory,
  memoryBroker,
  memoryPublisher,
  type MemoryBroker,
  type MemoryRecord,
  type MemorySourceOptions,
} from 'rxsluice/memory';
import { collect, virtually } from '../../core/harness.js';

const decoder = new TextDecoder();
const textOf = (value: Uint8Array | null): string | null => (value === null ? null : decoder.decode(value));

function send(broker: MemoryBroker, ...messages: Parameters<typeof publish>[1]): readonly PublishOutcome[] {
  let outcomes: readonly PublishOutcome[] = [];
  publish(memoryPublisher(broker, { topic: 't' }), messages).subscribe((all) => (outcomes = all));
  return outcomes;
}

const values = (count: number): { readonly value: string; readonly key: string }[] =>
  Array.from({ length: count }, (_, i) => ({ value: `m${i}`, key: `k${i % 7}` }));

const read = (broker: MemoryBroker, options: Partial<MemorySourceOptions> = {}) =>
  fromMemory(broker, { groupId: 'g', topics: ['t'], ...options });

const oneTopic = (partitions = 1, options = {}): MemoryBroker =>
  memoryBroker({ topics: { t: { partitions, ...options } } });

type Raws = ReturnType<typeof read>;
type Work = (value: Uint8Array | null | readonly (Uint8Array | null)[]) => void;
const all = { maxSize: 4, maxWaitMs: 5 };
// In whole milliseconds, as time-stamps are.
const once = { maxRetries: 1, backoff: constant(1) };

describe('the memory broker', () => {
  it('keeps raw keys, values, headers and time-stamps: binary, empty, null and 1 MB', () =>
    virtually(() => {
      const broker = oneTopic();
      const big = new Uint8Array(2 ** 20).fill(7);
      const headers = { trace: 'abc', twice: ['x', Uint8Array.of(1)] };
      send(
        broker,
        { value: big, key: Uint8Array.of(0, 255), headers, timestamp: 42 },
        { value: new Uint8Array(0) },
        { value: null, key: '' },
      );
      const { all } = collect(read(broker));
      expect(all[0]).toMatchObject({ value: big, key: Uint8Array.of(0, 255), headers, timestamp: 42 });
      expect(all[0]?.position).toEqual({ broker: 'memory', topic: 't', partition: 0, offset: 0 });
      expect([all[1]?.value, all[1]?.key, all[2]?.value, all[2]?.key]).toEqual([
        new Uint8Array(0),
        null,
        null,
        new Uint8Array(0),
      ]);
    }));

  it.each([5, 5_000])('stores a copy and hands out copies: what is changed of %i bytes, nobody else sees', (size) =>
    virtually(({ advance }) => {
      const broker = memoryBroker({ topics: { t: {}, dead: {} } });
      const bytes = (): Uint8Array => new Uint8Array(size).fill(1);
      const published = { value: Buffer.from(bytes()), key: bytes(), headers: { h: bytes(), list: [bytes(), 'x'] } };
      const as = { value: bytes(), key: bytes(), headers: { h: bytes(), list: [bytes(), 'x'] } };
      send(broker, published);
      published.value.fill(2);
      published.key.fill(2);
      published.headers.h.fill(2);
      const seen: unknown[] = [];
      const spoil = ({ value, key, headers }: Pick<Delivery<Uint8Array | null>, 'value' | 'key' | 'headers'>): void => {
        seen.push(structuredClone({ value, key, headers }));
        value?.fill(3);
        (key as Uint8Array).fill(3);
        (headers['h'] as Uint8Array).fill(3);
        ((headers['list'] as readonly Uint8Array[])[0] as Uint8Array).fill(3);
        throw new Error('spoilt');
      };
      const deadLetters = memoryPublisher(broker, { topic: 'dead' });
      const retry = retryToDlq({ deadLetters, maxRetries: 2, backoff: constant(1) });
      collect(read(broker).pipe(retry, handle((_, delivery) => spoil(delivery)))); // prettier-ignore
      const source = read(broker, { groupId: 'bare' });
      collect(source.pipe(handle((_, delivery) => spoil(delivery))));
      advance(5);
      try {
        spoil(broker.messages('t')[0] as MemoryRecord);
      } catch {
        // As a handler does.
      }
      advance(1_000);
      // Three attempts, and of the bare group four or more: each as it was published.
      expect(seen.length).toBeGreaterThan(7);
      for (const each of seen) expect(each).toEqual(as);
      expect(broker.messages('dead')).toMatchObject([as]);
      expect(broker.messages('t')).toMatchObject([as]);
    }),
  );

  it.each<[string, (source: Raws, work: Work, dead: Publisher) => Observable<unknown>]>([
    [
      'a probe',
      (source, work, deadLetters) => source.pipe(retryToDlq({ deadLetters, ...once }), handle(work), ackEach()),
    ],
    [
      'a batch whose retry stands below',
      (source, work, deadLetters) =>
        source.pipe(batch(all), retryToDlq({ deadLetters, ...once }), handle(work), ackEach()),
    ],
    [
      'a batch whose retry stands above',
      (source, work, deadLetters) =>
        source.pipe(retryToDlq({ deadLetters, ...once }), batch(all), handle(work), ackEach()),
    ],
  ])('gives the bytes as they were published to each run of %s: in an outage, of a retry, of a half', (_, pipeline) =>
    virtually(({ advance }) => {
      const broker = memoryBroker({ topics: { t: {}, dead: {} } });
      send(broker, ...[...'abcd'].map((value) => ({ value })));
      const seen: (string | null)[] = [];
      const failures = [unavailable(new Error('out')), unavailable(new Error('still out')), new Error('once')];
      const work: Work = (value) => {
        const values = (Array.isArray(value) ? value : [value]) as Uint8Array[];
        const texts = values.map(textOf);
        seen.push(...texts);
        for (const each of values) each.fill(0);
        const failure = failures.shift() ?? (texts.includes('b') ? permanent(new Error('b')) : null);
        if (failure !== null) throw failure;
      };
      pipeline(read(broker), work, memoryPublisher(broker, { topic: 'dead' })).subscribe();
      advance(60_000);
      expect(seen.length).toBeGreaterThan(6);
      expect(seen.filter((text) => !'abcd'.includes(text ?? '?'))).toEqual([]);
      expect(broker.messages('dead').map(({ value }) => textOf(value))).toEqual(['b']);
    }),
  );

  it('tells that a partition is revoked before another member has it, also where the drain is cut off', () =>
    virtually(({ advance }) => {
      const broker = oneTopic(2);
      send(broker, ...values(20));
      const told: string[] = [];
      const member = (name: string) =>
        read(broker, {
          drainTimeoutMs: 100,
          telemetry: (event) => {
            if (event.type === 'assigned' || event.type === 'revoked')
              told.push(`${name} ${event.type} ${event.partition.partition}`);
          },
        });
      // Never settled.
      collect(member('A'));
      advance(1);
      collect(member('B'));
      advance(5_000);
      expect(told).toEqual(['A assigned 0', 'A assigned 1', 'A revoked 1', 'B assigned 1']);
    }));

  it('opens nothing before it is subscribed, and gives each group every message', () =>
    virtually(() => {
      const broker = oneTopic();
      const source = read(broker);
      send(broker, ...values(3));
      expect(broker.committed('g', 't')).toEqual([null]);
      expect([collect(source).ids.length, collect(read(broker, { groupId: 'h' })).ids.length]).toEqual([3, 3]);
    }));

  it('starts a new group at the earliest or latest message, and has that durable before the first emission', () =>
    virtually(({ advance }) => {
      const broker = oneTopic();
      send(broker, ...values(3));
      const { ids } = collect(read(broker, { start: 'latest' }));
      expect([ids, broker.committed('g', 't')]).toEqual([[], [3]]);
      send(broker, ...values(1));
      advance(1);
      expect(ids).toEqual(['0/3#1']);
    }));

  it('gives unsettled messages again after a dropped subscription, and none that is settled', () =>
    virtually(({ advance }) => {
      const broker = oneTopic();
      send(broker, ...values(4));
      const first = collect(read(broker, { drainTimeoutMs: 50 }));
      first.all[0]?.ack();
      first.all[2]?.ack();
      first.subscription.unsubscribe();
      advance(50);
      expect(broker.committed('g', 't')).toEqual([1]);
      expect(collect(read(broker)).ids).toEqual(['0/1#1', '0/3#1']);
    }));

  it('keeps what is done above the watermark from owner to owner, until the watermark has passed it', () =>
    virtually(({ advance }) => {
      const broker = oneTopic();
      send(broker, ...values(6));
      const own = (acked: readonly number[]): readonly string[] => {
        const { all, ids, subscription } = collect(read(broker, { drainTimeoutMs: 50 }));
        for (const delivery of all) if (acked.includes(Number(delivery.id.split('/')[2]))) delivery.ack();
        advance(1);
        subscription.unsubscribe();
        advance(50);
        return ids;
      };
      expect(own([1, 2, 5])).toEqual(['0/0#1', '0/1#1', '0/2#1', '0/3#1', '0/4#1', '0/5#1']);
      expect(own([4])).toEqual(['0/0#1', '0/3#1', '0/4#1']);
      expect([own([0]), broker.committed('g', 't')]).toEqual([['0/0#1', '0/3#1'], [3]]);
      expect([own([3]), broker.committed('g', 't')]).toEqual([['0/3#1'], [6]]);
      send(broker, ...values(1));
      expect([own([6]), broker.committed('g', 't')]).toEqual([['0/6#1'], [7]]);
    }));

  it('gives what is done above the watermark to no other group, and forgets it with its topic', () =>
    virtually(({ advance }) => {
      const broker = oneTopic();
      send(broker, ...values(3));
      const { all, subscription } = collect(read(broker, { drainTimeoutMs: 50 }));
      all[2]?.ack();
      subscription.unsubscribe();
      advance(50);
      expect(collect(read(broker, { groupId: 'h' })).ids).toHaveLength(3);
      broker.deleteTopic('t');
      broker.createTopic('t');
      send(broker, ...values(3));
      expect(collect(read(broker)).ids).toEqual(['0/0#1', '0/1#1', '0/2#1']);
    }));

  it("reads by until: 'end' over what a predecessor had done", () =>
    virtually(({ advance }) => {
      const broker = oneTopic();
      send(broker, ...values(300));
      const first = collect(read(broker, { drainTimeoutMs: 50 }));
      for (const delivery of first.all.slice(1)) delivery.ack();
      first.subscription.unsubscribe();
      advance(50);
      const { all, ends } = collect(read(broker, { until: 'end' }));
      expect(all.map(({ id }) => id)).toEqual(['t/0/0']);
      all[0]?.ack();
      advance(1);
      expect([ends, broker.committed('g', 't')]).toEqual([['complete'], [300]]);
    }));

  it('shares partitions between members; what moves is drained first, so nothing is lost or repeated', () =>
    virtually(({ advance }) => {
      const broker = oneTopic(4);
      send(broker, ...values(40));
      const seen: string[] = [];
      const member = (name: string) =>
        read(broker)
          .pipe(
            ordered({ by: 'key' }),
            handle((value) => of(`${textOf(value)}`).pipe(delay(10)), { concurrency: 2 }),
            ackEach(),
          )
          .subscribe((value) => seen.push(`${name} ${value}`));
      const a = member('a');
      advance(25);
      member('b');
      advance(500);
      a.unsubscribe();
      send(broker, ...values(8));
      advance(500);
      const texts = seen.map((line) => line.slice(2));
      expect([texts.length, new Set(texts).size]).toEqual([48, 40]);
      expect(new Set(seen.map((line) => line[0]))).toEqual(new Set(['a', 'b']));
      expect(broker.committed('g', 't')).toEqual([0, 1, 2, 3].map((p) => broker.messages('t', p).length));
    }));

  it("reads by until: 'end' to the end as it stood, and completes, also over several members", () =>
    virtually(({ advance }) => {
      const broker = oneTopic(3);
      send(broker, ...values(30));
      const seen: string[] = [];
      const ends: string[] = [];
      for (const name of ['a', 'b']) {
        read(broker, { until: 'end' })
          .pipe(
            handle((value) => of(textOf(value)).pipe(delay(5)), { concurrency: 4 }),
            ackEach(),
          )
          .subscribe({ next: (value) => seen.push(`${value}`), complete: () => ends.push(name) });
      }
      send(broker, { value: 'later' });
      advance(1_000);
      expect([seen.length, new Set(seen).size, seen.includes('later'), ends.sort()]).toEqual([
        30,
        30,
        false,
        ['a', 'b'],
      ]);
    }));

  it("lets repeat() over until: 'end' wait for its predecessor's drain", () =>
    virtually(({ advance }) => {
      const broker = oneTopic();
      send(broker, ...values(10));
      let done = 0;
      let completed = false;
      read(broker, { until: 'end', drainTimeoutMs: 100 })
        .pipe(
          handle((value) => of(value).pipe(delay(5)), { concurrency: 2 }),
          ackEach(),
          take(3),
          repeat(4),
        )
        .subscribe({ next: () => done++, complete: () => (completed = true) });
      advance(2_000);
      expect([done, completed, broker.committed('g', 't')]).toEqual([10, true, [10]]);
    }));

  it('makes progress by take(10) over an asynchronous handler, subscription after subscription', () =>
    virtually(({ advance }) => {
      const broker = oneTopic();
      send(broker, ...values(50));
      const seen: string[] = [];
      for (let round = 0; round < 5; round++) {
        read(broker)
          .pipe(
            handle((value) => of(`${textOf(value)}`).pipe(delay(3)), { concurrency: 4 }),
            ackEach(),
            take(10),
          )
          .subscribe((value) => seen.push(value));
        advance(200);
      }
      expect([seen.length, new Set(seen).size, broker.committed('g', 't')]).toEqual([50, 50, [50]]);
    }));

  it('takes messages that a handler publishes to the topic it reads, without recursion', () =>
    virtually(({ advance }) => {
      const broker = oneTopic();
      const seen: string[] = [];
      read(broker)
        .pipe(
          handle((value) => {
            const text = textOf(value) ?? '';
            if (text.length < 400) send(broker, { value: `${text}x` });
            return text;
          }),
          ackEach(),
        )
        .subscribe((text) => seen.push(text));
      send(broker, { value: 'x' });
      advance(1);
      expect([seen.length, broker.committed('g', 't')]).toEqual([400, [400]]);
    }));

  it('fails where retention passed its position, or goes on where the user chose so (I10)', () =>
    virtually(({ advance }) => {
      const lost = (onPositionLost: 'error' | 'earliest' | 'latest') => {
        const broker = oneTopic(1, { retainMessages: 5 });
        send(broker, ...values(2));
        const first = collect(read(broker));
        first.all[0]?.ack();
        first.subscription.unsubscribe();
        first.all[1]?.ack();
        advance(1);
        send(broker, ...values(10));
        const events: TelemetryEvent[] = [];
        const { ids, ends } = collect(read(broker, { onPositionLost, telemetry: (event) => void events.push(event) }));
        send(broker, ...values(1));
        return { ids: ids.length, ends, lost: events.filter(({ type }) => type === 'position-lost').length };
      };
      expect(lost('error')).toEqual({ ids: 0, ends: ['error position-lost'], lost: 1 });
      expect(lost('earliest')).toEqual({ ids: 6, ends: [], lost: 1 });
      expect(lost('latest')).toEqual({ ids: 1, ends: [], lost: 1 });
    }));

  it.each(['earliest', 'latest'] as const)(
    'loses its position once, however soon the source ends after it went on: %s (I10)',
    (onPositionLost) =>
      virtually(({ advance }) => {
        for (const lifeMs of [0, 1, 5, 200]) {
          const broker = oneTopic(1, { retainMessages: 10 });
          const losses: string[] = [];
          const options: Partial<MemorySourceOptions> = {
            onPositionLost,
            maxInFlight: 1,
            telemetry: (event) => void (event.type === 'position-lost' && losses.push(event.found)),
          };
          send(broker, ...values(1));
          const first = read(broker, options).pipe(ackEach()).subscribe();
          advance(1);
          first.unsubscribe();
          advance(1);
          send(broker, ...values(30));
          // Whatever it reads there, it settles none of it.
          const second = collect(read(broker, options));
          advance(lifeMs);
          second.subscription.unsubscribe();
          second.all[0]?.nack();
          advance(20_000);
          const position = onPositionLost === 'latest' ? 31 : 21;
          expect(broker.committed('g', 't')).toEqual([position]);
          send(broker, ...values(5));
          const { ids } = collect(read(broker, { ...options, maxInFlight: 100 }));
          // Of 15 that are kept the first 5 are gone now, where it went on at the earliest.
          expect([ids[0], ids.at(-1)]).toEqual([`0/${Math.max(26, position)}#1`, '0/35#1']);
          expect(losses).toHaveLength(onPositionLost === 'latest' ? 1 : 2);
        }
      }),
  );

  it('moves a position back by nothing that was read before it was lost (I5)', () =>
    virtually(({ advance }) => {
      const broker = oneTopic(1, { retainMessages: 5 });
      send(broker, ...values(2));
      const { all } = collect(read(broker, { maxInFlight: 2, onPositionLost: 'latest', maxBufferedBytes: 1 }));
      send(broker, ...values(10));
      send(broker, ...values(10));
      all[0]?.ack();
      all[1]?.ack();
      advance(1);
      const [position] = broker.committed('g', 't') as [number];
      expect(position).toBeGreaterThan(2);
      for (const delivery of all.slice(2)) delivery.ack();
      advance(1);
      expect(broker.committed('g', 't')[0]).toBeGreaterThanOrEqual(position);
    }));

  it('fails with a typed error for a topic that is not there, or is deleted', () =>
    virtually(() => {
      const broker = oneTopic();
      expect(collect(read(broker, { topics: ['nope'] })).ends).toEqual(['error unknown-topic']);
      const { ends } = collect(read(broker));
      broker.deleteTopic('t');
      expect(ends).toEqual(['error unknown-topic']);
    }));

  it('refuses a bad message by itself: no topic, no partition, too large, no bytes', () =>
    virtually(() => {
      const broker = oneTopic(1, { maxMessageBytes: 10 });
      const outcomes = send(
        broker,
        { value: 'ok' },
        { value: 'x', partition: 1 },
        { value: 'x'.repeat(11) },
        {
          value: 5 as never,
        },
      );
      expect(outcomes.map(({ status }) => status)).toEqual(['ok', 'permanent', 'permanent', 'permanent']);
      expect(broker.messages('t')).toHaveLength(1);
      const publisher = memoryPublisher(broker, { topic: 't' });
      const late: PublishOutcome[] = [];
      const publishLate = publisher.connect().pipe(
        concatMap((connection) => {
          broker.deleteTopic('t');
          return connection.publish([{ value: 'x' }]);
        }),
      );
      publishLate.subscribe((all) => late.push(...all)).unsubscribe();
      expect(late).toMatchObject([{ status: 'permanent', error: { code: 'unknown-topic' } }]);
      const errors: unknown[] = [];
      publisher.connect().subscribe({ error: (error) => errors.push(error) });
      expect(errors).toMatchObject([
        { code: 'unknown-topic', message: 'memoryPublisher: there is no topic t. Create it first.' },
      ]);
    }));

  it.each([
    [{ headers: { a: 5 } }, 'a header must be bytes or text, not a number'],
    [{ headers: { a: null } }, 'a header must be bytes or text, not null'],
    [{ headers: { a: ['b', {}] } }, 'a header must be bytes or text, not an object'],
    [{ headers: new Map([['a', 'b']]) }, 'headers must be an object, with bytes or text by name, not Map'],
    [{ timestamp: 1.5 }, 'a timestamp must be whole milliseconds'],
    [{ timestamp: new Date(0) }, 'a timestamp must be whole milliseconds'],
    [{ partition: '0' }, 'a partition must be a whole number'],
  ])('refuses %j, as other brokers do', (given, why) =>
    virtually(() => {
      const outcomes = send(oneTopic(), { value: 'x', ...given });
      expect(outcomes).toMatchObject([{ status: 'permanent', error: { code: 'publish-failed' } }]);
      expect(String((outcomes[0] as { error?: unknown }).error)).toContain(`memoryPublisher: ${why}.`);
    }),
  );

  it.each([
    [{ groupId: '' }, 'fromMemory: groupId must be a string that is not empty, not an empty string.'],
    [{ topics: [] }, 'fromMemory: topics must be a list of topic names that is not empty, not an empty array.'],
    [{ maxInFlight: 0 }, 'fromMemory: maxInFlight must be a whole number, at least 1 and at most 1000000, not 0.'],
    [
      { maxInFlight: 8, maxSpan: 4 },
      'fromMemory: maxSpan must be a whole number, at least maxInFlight (8) and at most 64000000, not 4.',
    ],
    [{ until: 'forever' as 'end' }, "fromMemory: until must be 'end', not 'forever'."],
    [{ start: 'middle' as 'latest' }, "fromMemory: start must be 'earliest', 'latest' or a Date, not 'middle'."],
    [{ prefetch: 5 }, 'fromMemory: there is no option prefetch;'],
  ])('refuses %j', (options, message) => {
    expect(() => read(oneTopic(), options as Partial<MemorySourceOptions>)).toThrow(message);
  });

  it('leaves nothing behind when it is unsubscribed while everything hangs', () =>
    virtually(({ advance, timers }) => {
      const broker = oneTopic(2);
      send(broker, ...values(20));
      const events: TelemetryEvent[] = [];
      const subscription = read(broker, { telemetry: (event) => void events.push(event) })
        .pipe(
          handle(() => NEVER, { concurrency: 3 }),
          concatMap((delivery) => of(delivery)),
          ackEach(),
        )
        .subscribe();
      advance(10);
      subscription.unsubscribe();
      expect([events.at(-1)?.type, timers()]).toEqual(['closed', 0]);
    }));
});
