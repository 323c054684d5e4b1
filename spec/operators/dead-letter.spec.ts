import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { of } from 'rxjs';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { fromMemory } from '../../lib/brokers/memory/memory-source.js';
import { constant } from '../../lib/core/backoff.js';
import { SluiceError } from '../../lib/core/errors.js';
import { permanent } from '../../lib/core/failures.js';
import type { HeaderValue, Message } from '../../lib/core/message.js';
import { publish } from '../../lib/core/publish.js';
import type { PublishOutcome } from '../../lib/core/publisher.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { decode } from '../../lib/operators/decode.js';
import { handle } from '../../lib/operators/handle.js';
import { json } from '../../lib/operators/json.js';
import { mapValue } from '../../lib/operators/map-value.js';
import { retryToDlq, type RetryToDlqOptions } from '../../lib/operators/retry-to-dlq.js';
import { marbles, type Marbles } from '../support/marbles.js';
import { fakePublisher, REFUSAL, type PublishAnswer } from '../support/publishers.js';
import { bytesOf, textOf, type ScriptedLogOptions, type ScriptedMessage } from '../support/scripted-log.js';

type Given = ScriptedMessage & {
  readonly error?: unknown;
  readonly answer?: PublishAnswer;
  readonly log?: ScriptedLogOptions;
};

/** The dead letter of one message that fails, at 100 ms for the first time. */
function deadLetterOf(
  { log, drive, advanceTo }: Marbles,
  { error = new TypeError('no such account'), answer, log: logOptions, ...message }: Given,
  options: Partial<RetryToDlqOptions> = {},
): Message {
  const source = log(undefined, { group: 'billing', ...logOptions });
  const deadLetters = fakePublisher(answer);
  const failing = handle(() => {
    throw error;
  });
  advanceTo(100);
  drive(
    source.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 2, backoff: constant(1_000), ...options }), failing),
  );
  source.publish('a', message);
  advanceTo(3_000);
  expect(deadLetters.published).toHaveLength(1);
  return deadLetters.published[0] as Message;
}

/** Refuses what a test says, as a broker does. */
const refusing =
  (isRefused: (message: Message) => boolean): PublishAnswer =>
  (messages) =>
    of(
      messages.map((message): PublishOutcome =>
        isRefused(message) ? { status: 'permanent', error: REFUSAL } : { status: 'ok' },
      ),
    );

/** Large enough for all that may be told of an error. */
const LARGE = 'v'.repeat(2_000);

const added = ({ headers = {} }: Message): string[] =>
  Object.keys(headers).filter((name) => name.startsWith('dead-letter-'));

const bytesOfHeaders = ({ headers = {} }: Message): number =>
  Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + shown(value).length, 0);

const shown = (value: HeaderValue | readonly HeaderValue[] | undefined): string => String(value);

describe('a dead letter', () => {
  it('has the raw key, value, headers and partition, and says all about the failure', () =>
    marbles((helpers) => {
      const letter = deadLetterOf(helpers, {
        value: Uint8Array.of(0, 255, 1),
        key: Uint8Array.of(9, 200),
        headers: { trace: 'abc', many: ['x', Uint8Array.of(255)] },
        partition: 1,
        log: { partitions: 2 },
      });
      expect(letter).toEqual({
        key: Uint8Array.of(9, 200),
        value: Uint8Array.of(0, 255, 1),
        partition: 1,
        headers: {
          trace: 'abc',
          many: ['x', Uint8Array.of(255)],
          'dead-letter-error-class': 'TypeError',
          'dead-letter-error-message': 'no such account',
          'dead-letter-error-stack': expect.stringContaining('TypeError: no such account'),
          'dead-letter-attempts': '3',
          'dead-letter-first-failure-at': '1970-01-01T00:00:00.100Z',
          'dead-letter-last-failure-at': '1970-01-01T00:00:02.100Z',
          'dead-letter-source-topic': 'orders',
          'dead-letter-source-partition': '1',
          'dead-letter-source-position': '0',
          'dead-letter-source-timestamp': '1970-01-01T00:00:00.000Z',
          'dead-letter-group': 'billing',
        },
      });
    }));

  it('names no group where the source has none', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const deadLetters = fakePublisher();
      drive(source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) => delivery.nack('x'));
      advanceTo(1);
      expect(added(deadLetters.published[0] as Message)).not.toContain('dead-letter-group');
      expect(added(deadLetters.published[0] as Message)).toContain('dead-letter-source-topic');
    }));

  it.each([
    ['a tombstone', null],
    ['0 bytes', new Uint8Array()],
  ])('keeps %s as it is', (_, value) =>
    marbles((helpers) => {
      expect(deadLetterOf(helpers, { value }).value).toEqual(value);
    }),
  );

  it('keeps a megabyte as it is', () =>
    marbles((helpers) => {
      const value = new Uint8Array(1_048_576).fill(7);
      expect(deadLetterOf(helpers, { value }).value === value).toBe(true);
    }));

  it('has the raw bytes also where operators in between had made something else of them', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined);
      source.publish('a', { value: '{"id":1}' });
      const deadLetters = fakePublisher();
      drive(
        source.deliveries.pipe(
          mapValue((bytes) => bytes),
          retryToDlq({ deadLetters, maxRetries: 0 }),
          decode(json()),
          mapValue(() => ({ other: true })),
          handle(() => {
            throw new Error('no');
          }),
        ),
      );
      advanceTo(1);
      expect(textOf(deadLetters.published[0]?.value as Uint8Array)).toBe('{"id":1}');
    }));

  it.each([
    ['nothing', undefined, 'none', 'nacked without a reason'],
    ['text', 'out of stock', 'string', 'out of stock'],
    ['a number', 42, 'number', '42'],
    ['null', null, 'object', 'null'],
  ])('describes a nack with %s for a reason', (_, error, kind, message) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const deadLetters = fakePublisher();
      drive(source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) => delivery.nack(error));
      advanceTo(1);
      expect(deadLetters.published[0]?.headers).toMatchObject({
        'dead-letter-error-class': kind,
        'dead-letter-error-message': message,
      });
      expect(added(deadLetters.published[0] as Message)).not.toContain('dead-letter-error-stack');
    }),
  );

  it('survives a reason that cannot be shown', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const deadLetters = fakePublisher();
      const hostile = {
        toString: () => {
          throw new Error('not to be shown');
        },
      };
      const reasons: Record<string, unknown> = { a: hostile, b: Object.create(null) };
      const out = drive(source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) =>
        delivery.nack(reasons[delivery.value]),
      );
      advanceTo(2_000);
      expect(out.error).toBeUndefined();
      expect(deadLetters.published).toHaveLength(2);
      expect(source.settled('dead-lettered')).toEqual(['a', 'b']);
    }));

  it.each([
    ['whose stack is no text', Object.assign(new Error('x'), { stack: ['call', 'sites'] })],
    ['that has no constructor', Object.assign(new Error('x'), { constructor: undefined })],
    [
      'whose stack cannot be read',
      Object.defineProperty(new Error('x'), 'stack', {
        get: () => {
          throw new Error('not to be read');
        },
      }),
    ],
  ])('survives an error %s', (_, error) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const deadLetters = fakePublisher();
      drive(source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) => delivery.nack(error));
      advanceTo(2_000);
      expect(source.settled('dead-lettered')).toEqual(['a']);
      const { headers = {} } = deadLetters.published[0] as Message;
      expect(headers['dead-letter-error-message']).toBe('x');
      expect(['string', 'undefined']).toContain(typeof headers['dead-letter-error-stack']);
    }),
  );

  it('tells the causes of the error', () =>
    marbles((helpers) => {
      const error = new TypeError('fetch failed', { cause: new RangeError('no route', { cause: new Error('down') }) });
      const causes = ['RangeError: no route', 'Error: down'];
      const { headers } = deadLetterOf(helpers, { error });
      expect(headers).toMatchObject({
        'dead-letter-error-message': 'fetch failed',
        'dead-letter-error-causes': causes.join('\n'),
      });
    }));

  it('caps the causes', () =>
    marbles((helpers) => {
      const error = new Error('x', {
        cause: new AggregateError([new Error('a'.repeat(800)), new Error('b'.repeat(800))]),
      });
      const { headers = {} } = deadLetterOf(helpers, { error, value: LARGE });
      expect(shown(headers['dead-letter-error-causes'])).toHaveLength(1_024);
    }));

  it.each([
    ['the time of the record', 1_700_000_000_123, '2023-11-14T22:13:20.123Z'],
    ['none where the record has none', -1, undefined],
    ['none that is no time', 8.64e15 + 1, undefined],
  ])('has %s', (_, timestamp, told) =>
    marbles((helpers) => {
      const { headers = {} } = deadLetterOf(helpers, { timestamp });
      expect(headers['dead-letter-source-timestamp']).toBe(told);
    }),
  );

  it('caps the message and the stack', () =>
    marbles((helpers) => {
      const error = new Error('m'.repeat(10_000));
      error.stack = 's'.repeat(100_000);
      const { headers = {} } = deadLetterOf(helpers, { error, value: LARGE });
      expect(shown(headers['dead-letter-error-message'])).toHaveLength(1_024);
      expect(shown(headers['dead-letter-error-stack'])).toHaveLength(4_096);
    }));

  it('caps them by bytes, at whole characters', () =>
    marbles((helpers) => {
      const error = new Error(`\ufeff!${'😀'.repeat(1_000)}`);
      error.stack = 'ж'.repeat(10_000);
      const { headers = {} } = deadLetterOf(helpers, { error, value: LARGE });
      expect(shown(headers['dead-letter-error-message'])).toBe(`\ufeff!${'😀'.repeat(255)}`);
      expect(shown(headers['dead-letter-error-stack'])).toBe('ж'.repeat(2_048));
    }));

  it('counts one attempt and one time for a failure that is permanent', () =>
    marbles((helpers) => {
      const { headers } = deadLetterOf(helpers, { error: permanent(new RangeError('x')) });
      expect(headers).toMatchObject({
        'dead-letter-error-class': 'RangeError',
        'dead-letter-attempts': '1',
        'dead-letter-first-failure-at': '1970-01-01T00:00:00.100Z',
        'dead-letter-last-failure-at': '1970-01-01T00:00:00.100Z',
      });
    }));

  it('shows nothing of the payload in what it adds, for what a codec cannot read', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      source.publish('a', { value: '{"card":"4111-1111"', key: 'secret-key', headers: { token: 'hunter2' } });
      const deadLetters = fakePublisher();
      drive(source.deliveries.pipe(retryToDlq({ deadLetters }), decode(json()), ackEach()));
      advanceTo(1);
      const [letter] = deadLetters.published as [Message];
      const told = added(letter).map((name) => shown(letter.headers?.[name]));
      expect(told.join('\n')).toContain('19 bytes that are not JSON');
      expect(told.join('\n')).not.toMatch(/4111|secret-key|hunter2/);
      expect(letter.headers?.['token']).toBe('hunter2');
    }));

  describe('that was redriven and fails again', () => {
    it('says where it was read, and where it says that it first came from, and replaces the headers of its error', () =>
      marbles((helpers) => {
        const first = deadLetterOf(helpers, { value: 'v', headers: { trace: 't' } });
        helpers.advanceTo(4_000);
        const { log, drive, advanceTo } = helpers;
        const redriven = log(undefined, { topic: 'orders-retry', group: 'redrive' });
        const deadLetters = fakePublisher();
        drive(redriven.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) =>
          delivery.nack(new RangeError('something else')),
        );
        redriven.publish('before');
        redriven.publish('again', first);
        advanceTo(4_001);
        expect(deadLetters.published[1]?.headers).toEqual({
          trace: 't',
          'dead-letter-error-class': 'RangeError',
          'dead-letter-error-message': 'something else',
          'dead-letter-error-stack': expect.stringContaining('something else'),
          'dead-letter-attempts': '1',
          'dead-letter-first-failure-at': '1970-01-01T00:00:04.000Z',
          'dead-letter-last-failure-at': '1970-01-01T00:00:04.000Z',
          'dead-letter-source-topic': 'orders-retry',
          'dead-letter-source-partition': '0',
          'dead-letter-source-position': '1',
          'dead-letter-source-timestamp': '1970-01-01T00:00:00.000Z',
          'dead-letter-group': 'redrive',
          'dead-letter-origin-topic': 'orders',
          'dead-letter-origin-partition': '0',
          'dead-letter-origin-position': '0',
          'dead-letter-origin-timestamp': '1970-01-01T00:00:00.000Z',
          'dead-letter-origin-group': 'billing',
        });
      }));

    it('keeps the first origin, however often it is redriven', () =>
      marbles((helpers) => {
        let letter = deadLetterOf(helpers, { value: 'v' });
        const { log, drive, advanceTo, now } = helpers;
        for (let pass = 1; pass <= 3; pass++) {
          const redriven = log(undefined, { topic: `retry-${pass}` });
          const deadLetters = fakePublisher();
          drive(redriven.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) => delivery.nack('x'));
          redriven.publish('again', letter);
          advanceTo(now() + 1);
          [letter] = deadLetters.published as [Message];
          expect(letter.headers).toMatchObject({
            'dead-letter-source-topic': `retry-${pass}`,
            'dead-letter-origin-topic': 'orders',
          });
          expect(added(letter)).toHaveLength(14);
        }
      }));

    it('leaves no stack and no causes of the old error where the new one has none', () =>
      marbles((helpers) => {
        const first = deadLetterOf(helpers, { value: 'v', error: new Error('x', { cause: new Error('y') }) });
        expect(added(first)).toEqual(expect.arrayContaining(['dead-letter-error-stack', 'dead-letter-error-causes']));
        const { log, drive, advanceTo } = helpers;
        const redriven = log();
        const deadLetters = fakePublisher();
        drive(redriven.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) =>
          delivery.nack('no stack'),
        );
        redriven.publish('again', first);
        advanceTo(3_001);
        const [letter] = deadLetters.published as [Message];
        expect(letter.headers?.['dead-letter-error-message']).toBe('no stack');
        expect(letter.headers?.['dead-letter-error-causes']).toBeUndefined();
        expect(letter.headers?.['dead-letter-error-stack']).toBeUndefined();
      }));

    it('leaves no stack of the old error where the new one is trimmed', () =>
      marbles((helpers) => {
        const first = deadLetterOf(helpers, { value: 'v' });
        const { log, drive, advanceTo } = helpers;
        const redriven = log();
        const isTooLarge = ({ headers }: Message) => shown(headers?.['dead-letter-error-stack']).includes('RangeError');
        const deadLetters = fakePublisher(refusing(isTooLarge));
        drive(redriven.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) =>
          delivery.nack(new RangeError('new')),
        );
        redriven.publish('again', first);
        advanceTo(3_001);
        const [letter] = deadLetters.published as [Message];
        expect(letter.headers?.['dead-letter-error-class']).toBe('RangeError');
        expect(letter.headers?.['dead-letter-error-stack']).toBeUndefined();
      }));
  });

  describe('of a message that has headers of our names', () => {
    const forged = Object.fromEntries(
      [
        'source-topic',
        'source-partition',
        'source-position',
        'source-timestamp',
        'source-key',
        'group',
        'error-class',
        'error-message',
        'error-causes',
        'error-stack',
        'attempts',
        'first-failure-at',
        'last-failure-at',
        'part',
        'value-bytes',
        'value-sha256',
      ].map((name) => [`dead-letter-${name}`, 'forged']),
    );
    // The ones that it may say something by, under names that are not those of the truth.
    const claims = ['topic', 'partition', 'position', 'timestamp', 'group'].map((name) => `dead-letter-origin-${name}`);

    it('tells the truth under each of them, and none of the rest', () =>
      marbles((helpers) => {
        const given = { value: 'v', headers: { ...forged, 'dead-letter-of-mine': 'kept' }, timestamp: -1 };
        const { headers = {} } = deadLetterOf(helpers, { ...given, log: { group: undefined as never }, error: 'x' });
        const saysIt = Object.keys(headers).filter((name) => headers[name] === 'forged');
        expect(saysIt.sort()).toEqual([...claims].sort());
        expect(headers).toMatchObject({
          'dead-letter-source-topic': 'orders',
          'dead-letter-source-partition': '0',
          'dead-letter-source-position': '0',
          'dead-letter-attempts': '3',
          'dead-letter-of-mine': 'kept',
        });
        expect(headers['dead-letter-group']).toBeUndefined();
        expect(headers['dead-letter-value-sha256']).toBeUndefined();
      }));

    it.each([
      ['all that we add', (message: Message) => added(message).length > 5],
      ['its own headers', (message: Message) => message.headers?.['x'] !== undefined],
      ['its value', ({ value }: Message) => value !== null && value.length === 1],
    ])('says nothing untrue where %s is left out', (_, isRefused) =>
      marbles((helpers) => {
        const { headers = {} } = deadLetterOf(helpers, {
          value: 'v',
          headers: { ...forged, x: 'x' },
          answer: refusing(isRefused),
        });
        expect(Object.values(headers)).not.toContain('forged');
      }),
    );

    it('takes no claim that is a list, or longer than ours are', () =>
      marbles((helpers) => {
        const headers = { 'dead-letter-source-topic': ['a', 'b'], 'dead-letter-source-position': 'x'.repeat(257) };
        const letter = deadLetterOf(helpers, { value: 'v', headers });
        expect(Object.keys(letter.headers ?? {}).filter((name) => name.includes('origin'))).toEqual([]);
      }));
  });

  describe('of a small message', () => {
    it('has no stack for an error of ours that says all, and little else', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { group: 'billing' });
        source.publish('a', { value: 'x' });
        const deadLetters = fakePublisher();
        drive(source.deliveries.pipe(retryToDlq({ deadLetters }), decode(json()), ackEach()));
        advanceTo(1);
        const [letter] = deadLetters.published as [Message];
        expect(added(letter)).not.toContain('dead-letter-error-stack');
        expect(bytesOfHeaders(letter)).toBeLessThan(450);
      }));

    it('has the stack of what was thrown and marked', () =>
      marbles((helpers) => {
        const { headers } = deadLetterOf(helpers, { value: 'x', error: permanent(new Error('text')) });
        expect(headers).toHaveProperty('dead-letter-error-stack');
      }));

    it.each([
      [1, 516],
      [100, 912],
      [2_000, 5_120],
    ])('of %i bytes has at most %i bytes of stack and causes', (bytes, most) =>
      marbles((helpers) => {
        const error = new Error('x', { cause: new Error('c'.repeat(10_000)) });
        error.stack = 's'.repeat(10_000);
        const { headers = {} } = deadLetterOf(helpers, { value: 'v'.repeat(bytes), error });
        const told = ['causes', 'stack'].map((name) => shown(headers[`dead-letter-error-${name}`] ?? '').length);
        expect((told[0] as number) + (told[1] as number)).toBeLessThanOrEqual(most);
        expect((told[0] as number) + (told[1] as number)).toBeGreaterThan(most / 2);
      }),
    );
  });

  describe('that is refused', () => {
    it('leaves its partition out first, which the other topic may not have', () =>
      marbles((helpers) => {
        const letter = deadLetterOf(helpers, {
          value: 'v',
          partition: 3,
          log: { partitions: 4 },
          answer: refusing(({ partition }) => partition !== undefined),
        });
        expect(letter.partition).toBeUndefined();
        expect(added(letter)).toHaveLength(11);
        expect(letter.headers).toMatchObject({ 'dead-letter-source-partition': '3' });
      }));

    it('leaves its stack out next', () =>
      marbles((helpers) => {
        const answer = refusing(({ headers }) => headers?.['dead-letter-error-stack'] !== undefined);
        const letter = deadLetterOf(helpers, { value: 'v', headers: { trace: 't' }, answer });
        expect(added(letter)).toHaveLength(10);
        expect(letter.headers).toMatchObject({ trace: 't', 'dead-letter-error-class': 'TypeError' });
      }));

    it('leaves every added header out then, and never one of its own', () =>
      marbles((helpers) => {
        const answer = refusing((message) => added(message).length > 0);
        const letter = deadLetterOf(helpers, { value: 'v', headers: { trace: 't' }, answer });
        expect(letter).toEqual({ key: null, value: bytesOf('v'), headers: { trace: 't' } });
      }));

    it.each([
      ['its key', 'k'.repeat(300), 'a2tr'],
      ['a key that is bytes', Uint8Array.of(255, 254), '//4='],
    ])('leaves out %s, which the broker does not take, and its headers', (_, key, told) =>
      marbles((helpers) => {
        const answer = refusing((message) => message.key !== null);
        const letter = deadLetterOf(helpers, { value: 'v', key, headers: { trace: 't' }, answer });
        expect(letter).toEqual({
          key: null,
          value: bytesOf('v'),
          headers: {
            'dead-letter-error-class': 'TypeError',
            'dead-letter-attempts': '3',
            'dead-letter-source-topic': 'orders',
            'dead-letter-source-partition': '0',
            'dead-letter-source-position': '0',
            'dead-letter-source-timestamp': '1970-01-01T00:00:00.000Z',
            'dead-letter-group': 'billing',
            ...(key.length > 256 ? {} : { 'dead-letter-source-key': told }),
          },
        });
      }),
    );

    it.each(['headers', 'json'] as const)(
      "has size and digest of its value at last, and says that it could not be published whole (format: '%s')",
      (format) =>
        marbles(({ log, drive, advanceTo }) => {
          const source = log(undefined, { group: 'billing' });
          source.publish('a', { value: 'v'.repeat(1_000), key: 'k' });
          const deadLetters = fakePublisher(refusing(({ value }) => value !== null && value.length >= 1_000));
          drive(source.deliveries.pipe(retryToDlq({ deadLetters, format, maxRetries: 0 })), (delivery) =>
            delivery.nack(new TypeError('not to be told')),
          );
          advanceTo(1);
          const [letter] = deadLetters.published as [Message];
          const sha256 = createHash('sha256').update('v'.repeat(1_000)).digest('hex');
          expect(JSON.parse(letter.value as string)).toEqual({
            original: null,
            encoding: 'digest',
            bytes: 1_000,
            sha256,
            error: {
              class: 'TypeError',
              attempts: 1,
              source: { topic: 'orders', partition: 0, position: '0', timestamp: '1970-01-01T00:00:00.000Z' },
            },
            failed_at: '1970-01-01T00:00:00.000Z',
          });
          expect(letter.headers).toMatchObject({
            'dead-letter-value-bytes': '1000',
            'dead-letter-value-sha256': sha256,
            'dead-letter-source-key': 'aw==',
          });
          expect(JSON.stringify(letter).length).toBeLessThan(1_000);
          expect(source.settled('dead-lettered')).toEqual(['a']);
          expect(source.eventsOf('undeliverable').map(({ event }) => event.error)).toEqual([REFUSAL]);
          expect(source.eventsOf('dead-lettered').map(({ event }) => event.published)).toEqual([true]);
        }),
    );

    it('leaves nothing out for a topic that is not there', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log();
        source.publish('a', { value: 'v' });
        const error = new SluiceError('unknown-topic', 'no such topic');
        const deadLetters = fakePublisher((messages) =>
          of(messages.map((): PublishOutcome => (now() < 5_000 ? { status: 'permanent', error } : { status: 'ok' }))),
        );
        drive(source.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) => delivery.nack('x'));
        advanceTo(60_000);
        for (const { messages } of deadLetters.calls) expect(added(messages[0] as Message)).toHaveLength(9);
        expect(deadLetters.published).toHaveLength(1);
        expect(source.eventsOf('undeliverable').length).toBeGreaterThan(1);
      }));

    it('is written whole again where the refusal is over', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log();
        source.publish('a', { value: 'v' });
        const deadLetters = fakePublisher(refusing(() => now() < 10));
        drive(source.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 0 })), (delivery) =>
          delivery.nack(new Error('x')),
        );
        advanceTo(1_000);
        expect(
          deadLetters.calls.slice(0, 7).map(({ messages: [message] }) => added(message as Message).length),
        ).toEqual([10, 10, 9, 0, 6, 8, 10]);
        expect(deadLetters.published).toHaveLength(1);
        expect(deadLetters.published[0]).toMatchObject({ partition: 0 });
        expect(added(deadLetters.published[0] as Message)).toHaveLength(10);
      }));

    it('fits into a topic of the memory broker that takes small messages alone', () =>
      marbles(({ drive, advanceTo }) => {
        const broker = memoryBroker({ topics: { orders: { partitions: 4 }, dlq: { maxMessageBytes: 600 } } });
        publish(memoryPublisher(broker, { topic: 'orders' }), [{ value: 'x'.repeat(100), partition: 3 }]).subscribe();
        const source = fromMemory(broker, { groupId: 'g', topics: ['orders'], until: 'end' });
        const out = drive(
          source.pipe(
            retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dlq' }), maxRetries: 0 }),
            handle(() => {
              throw new Error('no');
            }),
            ackEach(),
          ),
        );
        advanceTo(10);
        expect(out.completed).toBe(true);
        const [letter] = broker.messages('dlq');
        expect(letter?.value).toEqual(bytesOf('x'.repeat(100)));
        expect(letter?.headers).toMatchObject({ 'dead-letter-source-partition': '3', 'dead-letter-group': 'g' });
        expect(letter?.headers['dead-letter-error-stack']).toBeUndefined();
        expect(broker.committed('g', 'orders')[3]).toBe(1);
      }));
  });

  describe("with format: 'json'", () => {
    const jsonOf = (helpers: Marbles, given: Given): unknown => {
      const { value } = deadLetterOf(helpers, given, { format: 'json' });
      return JSON.parse(typeof value === 'string' ? value : textOf(value));
    };

    it.each([
      ['JSON as itself', bytesOf('{"id":1}'), { id: 1 }, 'json'],
      ['other text as text', bytesOf('{"id":'), '{"id":', 'text'],
      ['other bytes as base64', Uint8Array.of(255, 0, 254), { base64: '/wD+' }, 'base64'],
      ['a tombstone as null', null, null, 'none'],
      ['0 bytes as empty text', new Uint8Array(), '', 'text'],
    ])('writes %s', (_, value, original, encoding) =>
      marbles((helpers) => {
        expect(jsonOf(helpers, { value })).toEqual({
          original,
          encoding,
          error: {
            class: 'TypeError',
            message: 'no such account',
            stack: expect.stringContaining('no such account'),
            attempts: 3,
            source: { topic: 'orders', partition: 0, position: '0', timestamp: '1970-01-01T00:00:00.000Z' },
          },
          failed_at: '1970-01-01T00:00:02.100Z',
        });
      }),
    );

    it.each([
      '{"id":12345678901234567890,"cents":0.10,"a":1,"a":2,"x":1e400}',
      ' { "spaced" : [ 1 , 2 ] }\n',
      '"123"',
      '123',
    ])('changes nothing of JSON: %s', (json) =>
      marbles((helpers) => {
        const { value } = deadLetterOf(helpers, { value: json }, { format: 'json' });
        expect(value).toContain(`{"original":${json},"encoding":"json","error":{`);
      }),
    );

    it('writes the raw value where the other is refused, which may be several times as large', () =>
      marbles((helpers) => {
        const value = '\u0001'.repeat(1_000);
        const answer = refusing((message) => (message.value?.length ?? 0) > 1_000);
        const letter = deadLetterOf(helpers, { value, headers: { trace: 't' }, answer }, { format: 'json' });
        expect(letter.value).toEqual(bytesOf(value));
        expect(letter.headers).toMatchObject({ trace: 't', 'dead-letter-error-class': 'TypeError' });
      }));

    it('lists the causes of the error', () =>
      marbles((helpers) => {
        const error = new Error('x', { cause: new Error('y', { cause: new Error('z') }) });
        expect(jsonOf(helpers, { value: '1', error })).toMatchObject({ error: { causes: ['Error: y', 'Error: z'] } });
      }));

    it('keeps the key, and the headers with what it adds', () =>
      marbles((helpers) => {
        const letter = deadLetterOf(helpers, { value: 'v', key: 'k', headers: { trace: 't' } }, { format: 'json' });
        expect(letter.key).toBe('k');
        expect(letter.headers).toMatchObject({ trace: 't', 'dead-letter-attempts': '3' });
      }));

    it('takes a megabyte of bytes that are not text', () =>
      marbles((helpers) => {
        const value = new Uint8Array(1_048_576).fill(255);
        const { original } = jsonOf(helpers, { value }) as { original: { base64: string } };
        expect(Buffer.from(original.base64, 'base64').equals(value)).toBe(true);
      }));

    it('leaves the stack out where it is refused with it', () =>
      marbles((helpers) => {
        const answer = refusing(({ value }) =>
          textOf(typeof value === 'string' ? bytesOf(value) : value).includes('"stack"'),
        );
        expect(jsonOf(helpers, { value: '1', answer })).toMatchObject({ original: 1, error: { class: 'TypeError' } });
      }));
  });
});
