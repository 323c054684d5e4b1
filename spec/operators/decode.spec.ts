import { describe, expect, it } from '@jest/globals';
import { map, NEVER, Observable, of, take, throwError, timer } from 'rxjs';
import { z } from 'zod';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import { SluiceError } from '../../lib/core/errors.js';
import { classifyFailure, unavailable } from '../../lib/core/failures.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { decode, type Codec } from '../../lib/operators/decode.js';
import { json } from '../../lib/operators/json.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import type { StandardResult, StandardSchemaV1 } from '../../lib/operators/standard-schema.js';
import { text } from '../../lib/operators/text.js';
import { gather } from '../support/gather.js';
import { marbles, type Marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';
import { fakePublisher } from '../support/publishers.js';
import { bytesOf, textOf, type ScriptedPosition } from '../support/scripted-log.js';
import { thenable } from '../support/thenable.js';

keepsTheContract('decode, at once', { make: () => asBytes(decode(textOf)), nackGoesUp: true });
keepsTheContract('decode, by an Observable', {
  make: () => asBytes(decode((bytes) => of(textOf(bytes)))),
  nackGoesUp: true,
});

type Deliveries<T> = Observable<Delivery<T, ScriptedPosition>>;

/** Puts the text of the contract's deliveries back into bytes; what is no delivery goes on as it is. */
function asBytes(decoding: (source: Deliveries<Uint8Array | null>) => Deliveries<string>) {
  return (source: Deliveries<string>): Deliveries<string> =>
    source.pipe(
      map((delivery) => ('withValue' in delivery ? delivery.withValue(bytesOf(delivery.value)) : delivery) as never),
      decoding,
    );
}

/** The text of the bytes after `ms`, by name. */
const later =
  (ms: Readonly<Record<string, number>>): Codec<string> =>
  (bytes) =>
    timer(ms[textOf(bytes)] ?? 1).pipe(map(() => textOf(bytes).toUpperCase()));

/** A Standard Schema of the spec's own. */
function schemaOf<T>(
  validate: (value: unknown) => StandardResult<T> | PromiseLike<StandardResult<T>>,
): StandardSchemaV1<unknown, T> {
  return { '~standard': { version: 1, vendor: 'spec', validate } };
}

/** What a codec made of one value, or the error that the delivery was nacked with. */
function decodeOne({ log, drive, advanceTo }: Marbles, codec: Codec<unknown>, value: Uint8Array | string | null) {
  const source = log(undefined, { redelivery: constant(10_000) });
  source.publish('m', { value });
  const out = drive(source.deliveries.pipe(decode(codec), ackEach()));
  advanceTo(5);
  const [nack] = source.eventsOf('retried');
  return { values: out.values, failure: nack?.event.failure, reason: nack?.event.reason, ended: out.error };
}

describe('decode', () => {
  it('emits the decoded value on the same delivery', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a-b-|');
      const expected = '         -A-B-|';
      const codec: Codec<string> = (bytes) => textOf(bytes).toUpperCase();
      expectObservable(source.deliveries.pipe(decode(codec), ackEach())).toBe(expected);
      expectObservable(source.done).toBe('-a-b');
    }));

  describe('text()', () => {
    it.each([
      ['text', bytesOf('héllo'), 'héllo'],
      ['nothing, for 0 bytes', new Uint8Array(), ''],
      ['null, for a tombstone', null, null],
    ])('gives %s', (_, value, expected) =>
      marbles((helpers) => expect(decodeOne(helpers, text(), value).values).toEqual([expected])),
    );

    it('takes a megabyte', () =>
      marbles((helpers) => {
        const { values } = decodeOne(helpers, text(), new Uint8Array(1_048_576).fill(97));
        expect(values).toHaveLength(1);
        expect(values[0] === 'a'.repeat(1_048_576)).toBe(true);
      }));

    it('nacks bytes that are not UTF-8, permanently', () =>
      marbles((helpers) => {
        const { values, failure, reason, ended } = decodeOne(helpers, text(), Uint8Array.of(255, 254, 0));
        expect(values).toEqual([]);
        expect(failure).toBe('permanent');
        expect(reason).toMatchObject({ code: 'undecodable', message: 'The value is 3 bytes that are not UTF-8.' });
        expect(ended).toBeUndefined();
      }));

    it('gives what a schema makes of the text, and nacks what does not match, permanently', () =>
      marbles((helpers) => {
        const digits = text(z.string().regex(/^\d+$/).transform(Number));
        expect(decodeOne(helpers, digits, '42').values).toEqual([42]);
        const message = 'The value does not match its schema at its root.';
        for (const value of ['secret', null]) {
          const { values, failure, reason } = decodeOne(helpers, digits, value);
          expect({ values, failure }).toEqual({ values: [], failure: 'permanent' });
          expect(reason).toMatchObject({ code: 'undecodable', message });
        }
      }));
  });

  describe('json()', () => {
    it.each([
      ['an object', '{"a":[1,2]}', { a: [1, 2] }],
      ['an array as a value, not as a stream', '[1,2]', [1, 2]],
      ['text', '"x"', 'x'],
      ['null', 'null', null],
      ['null, for a tombstone', null, null],
    ])('gives %s', (_, value, expected) =>
      marbles((helpers) => expect(decodeOne(helpers, json(), value).values).toEqual([expected])),
    );

    it.each([
      ['0 bytes', new Uint8Array()],
      ['bytes that are not UTF-8', Uint8Array.of(123, 255)],
      ['text that is not JSON', bytesOf('{"card":"4111 1111"')],
      ['a megabyte that is not JSON', new Uint8Array(1_048_576).fill(120)],
    ])('nacks %s permanently and shows nothing of the payload', (_, value) =>
      marbles((helpers) => {
        const { values, failure, reason } = decodeOne(helpers, json(), value);
        expect(values).toEqual([]);
        expect(failure).toBe('permanent');
        expect(reason).toMatchObject({ code: 'undecodable' });
        const told = everythingOf(reason);
        expect(told).toContain(`${value.length} bytes`);
        expect(told).not.toContain('4111');
        expect(told).not.toContain('xxx');
      }),
    );

    it('takes a megabyte of JSON', () =>
      marbles((helpers) => {
        const long = 'y'.repeat(1_048_574);
        expect(decodeOne(helpers, json(), `"${long}"`).values[0] === long).toBe(true);
      }));

    it('gives what the schema makes of the value', () =>
      marbles((helpers) => {
        const schema = z.object({ id: z.string(), cents: z.number().transform((cents) => cents / 100) });
        expect(decodeOne(helpers, json(schema), '{"id":"a","cents":250,"more":1}').values).toEqual([
          { id: 'a', cents: 2.5 },
        ]);
      }));

    it('names the paths that do not match a schema and shows nothing of the payload', () =>
      marbles((helpers) => {
        const schema = z.object({ id: z.literal('ok'), lines: z.array(z.object({ sku: z.string() })) });
        const { failure, reason } = decodeOne(
          helpers,
          json(schema),
          '{"id":"hush-hush","lines":[{"sku":"s"},{"sku":77012}]}',
        );
        expect(failure).toBe('permanent');
        expect(reason).toMatchObject({ code: 'undecodable', details: { paths: ['id', 'lines.1.sku'] } });
        expect(everythingOf(reason)).not.toMatch(/hush-hush|77012/);
      }));

    it('gives a tombstone to the schema as null', () =>
      marbles((helpers) => {
        expect(decodeOne(helpers, json(z.object({ id: z.string() }).nullable()), null).values).toEqual([null]);
        expect(decodeOne(helpers, json(z.object({ id: z.string() })), null).reason).toMatchObject({
          code: 'undecodable',
        });
      }));

    it('waits for a schema that answers later, and keeps the order', () =>
      marbles(({ log, expectObservable }) => {
        const messages = { a: { value: '"a"' }, b: { value: '"b"' }, c: { value: '"c"' } };
        const source = log('       (ab)-c-------|', { messages });
        const expected = '         ----(ab)--c--|';
        const waits: Record<string, number> = { a: 4, b: 1, c: 5 };
        const schema = schemaOf<string>((value) => thenable({ atMs: waits[value as string] ?? 0, value: { value } }));
        expectObservable(source.deliveries.pipe(decode(json(schema)), ackEach())).toBe(expected);
      }));

    it('nacks what a schema refuses later, permanently, and lets the next pass', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { messages: { a: { value: '1' }, b: { value: '2' } }, redelivery: constant(1_000) });
        const schema = schemaOf<unknown>((value) =>
          thenable({
            atMs: 3,
            value: value === 1 ? { issues: [{ message: 'the value 1 is hush-hush', path: ['id'] }] } : { value },
          }),
        );
        const out = drive(source.deliveries.pipe(decode(json(schema)), ackEach()));
        advanceTo(5);
        expect(out.values).toEqual([2]);
        const [nack] = source.eventsOf('retried');
        expect(nack?.event).toMatchObject({
          failure: 'permanent',
          reason: { code: 'undecodable', details: { paths: ['id'] } },
        });
        expect(everythingOf(nack?.event.reason)).not.toContain('hush-hush');
      }));
  });

  it.each([
    ['bytes', Uint8Array.of(1)],
    ['an array', [1, 2]],
    ['text', 'abc'],
    ['undefined', undefined],
  ])('takes %s from a codec as the value itself', (_, value) =>
    marbles((helpers) => expect(decodeOne(helpers, () => value, 'x').values).toEqual([value])),
  );

  it('nacks what a codec throws as permanent, with the error as its cause, and the raw bytes become the dead letter', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const failure = new Error('cannot read this');
      const codec: Codec<string> = (bytes) => {
        if (textOf(bytes) === 'a') throw failure;
        return textOf(bytes);
      };
      const deadLetters = fakePublisher();
      const out = drive(source.deliveries.pipe(retryToDlq({ deadLetters }), decode(codec), ackEach()));
      advanceTo(2);
      expect(out.values).toEqual(['b']);
      expect(source.eventsOf('retried')).toEqual([]);
      expect(deadLetters.published.map(({ value }) => value)).toEqual([bytesOf('a')]);
      const [dead] = source.eventsOf('dead-lettered');
      expect(dead?.event.reason).toBeInstanceOf(SluiceError);
      expect(dead?.event.reason).toMatchObject({ code: 'undecodable', details: { id: 'orders/0/0' }, cause: failure });
    }));

  it('keeps the class of an error that the codec marked: an outage is held and makes no dead letter', () =>
    marbles(({ log, drive, advanceTo, now }) => {
      const source = log('ab');
      const codec: Codec<string> = (bytes) => {
        if (now() < 5_000) throw unavailable(new Error('the schema registry is out'));
        return textOf(bytes);
      };
      const deadLetters = fakePublisher();
      const out = drive(source.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 0 }), decode(codec), ackEach()));
      advanceTo(4_999);
      expect(out.values).toEqual([]);
      advanceTo(30_000);
      expect(out.values.sort()).toEqual(['a', 'b']);
      expect(deadLetters.calls).toEqual([]);
      expect(source.eventsOf('unavailable').length).toBeGreaterThan(0);
    }));

  it('classes what a codec rejects later as it classes what it throws', () =>
    marbles((helpers) => {
      const plain = decodeOne(helpers, () => throwError(() => new Error('later')), 'x');
      expect(plain.failure).toBe('permanent');
      expect(plain.reason).toMatchObject({ code: 'undecodable' });
      const out = decodeOne(helpers, () => throwError(() => unavailable(new Error('out'))), 'x');
      expect(classifyFailure(out.reason)).toBe('unavailable');
    }));

  describe('where decoding takes time', () => {
    it('emits in order of arrival, whichever is ready first', () =>
      marbles(({ log, expectObservable }) => {
        const source = log('       (abc)-----|');
        const expected = '         -----(ABC)|';
        expectObservable(source.deliveries.pipe(decode(later({ a: 5, b: 1, c: 3 })), ackEach())).toBe(expected);
      }));

    it('lets a value that is there at once wait for one before it that is not', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const codec: Codec<string> = (bytes) => (textOf(bytes) === 'a' ? timer(4).pipe(map(() => 'A')) : 'B');
        const out = drive(source.deliveries.pipe(decode(codec), ackEach()));
        advanceTo(3);
        expect(out.values).toEqual([]);
        advanceTo(4);
        expect(out.values).toEqual(['A', 'B']);
      }));

    it('is not held up by one that fails: the rest follows in order', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { redelivery: constant(1_000) });
        const codec: Codec<string> = (bytes) => {
          const name = textOf(bytes);
          return name === 'a'
            ? timer(4).pipe(
                map(() => {
                  throw new Error('no');
                }),
              )
            : timer(1).pipe(map(() => name));
        };
        const out = drive(source.deliveries.pipe(decode(codec), ackEach()));
        advanceTo(3);
        expect(out.values).toEqual([]);
        advanceTo(4);
        expect(out.values).toEqual(['b', 'c']);
        expect(out.error).toBeUndefined();
      }));

    it('holds no more than the source may give, however long it takes', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 3, unsettledWarnMs: 50 });
        source.fill(20);
        let decoding = 0;
        drive(
          source.deliveries.pipe(
            decode(() => (decoding++, NEVER)),
            ackEach(),
          ),
        );
        advanceTo(200);
        expect(decoding).toBe(3);
        expect(source.eventsOf('unsettled-too-long')).toHaveLength(1);
      }));

    it('completes after the last one', () =>
      marbles(({ log, at, expectObservable }) => {
        const source = log('       a------');
        const expected = '         -----(A|)';
        expectObservable(source.deliveries.pipe(decode(later({ a: 5 })), ackEach())).toBe(expected);
        at(2, () => source.stop());
      }));

    it('finishes what it has where what stands above completes before it', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)');
        const out = drive(source.deliveries.pipe(take(2), decode(later({ a: 5, b: 2 })), ackEach()));
        advanceTo(4);
        expect(out.completed).toBe(false);
        advanceTo(5);
        expect(out.values).toEqual(['A', 'B']);
        expect(out.completed).toBe(true);
        advanceTo(6);
        expect(source.committed()).toBe(2);
        expect(source.isOpen).toBe(false);
      }));

    it('does not call it quiet while a codec still works', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { maxInFlight: 2 });
        const sizes: number[] = [];
        drive(source.deliveries.pipe(decode(later({ a: 2, b: 6 })), gather(100, 60_000, sizes), ackEach()));
        advanceTo(5);
        expect(sizes).toEqual([]);
        advanceTo(6);
        expect(sizes).toEqual([2]);
      }));

    it('cancels what is being decoded on a revoke, lets it go, and goes on with other partitions', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { partitions: 2, messages: { a: { partition: 0 }, b: { partition: 1 } } });
        let cancelled = 0;
        const codec: Codec<string> = (bytes) =>
          textOf(bytes) === 'a' ? new Observable<string>(() => () => void cancelled++) : timer(3).pipe(map(() => 'B'));
        const out = drive(source.deliveries.pipe(decode(codec), ackEach()));
        advanceTo(2);
        const revoked: string[] = [];
        source.revoke(0, () => revoked.push('done'));
        advanceTo(3);
        expect(cancelled).toBe(1);
        expect(revoked).toEqual(['done']);
        expect(out.values).toEqual(['B']);
        expect(source.committed(0)).toBe(0);
      }));

    it('lets a value that waited behind a revoked one go on', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { partitions: 2, messages: { a: { partition: 0 }, b: { partition: 1 } } });
        const out = drive(
          source.deliveries.pipe(
            decode((bytes) => (textOf(bytes) === 'a' ? NEVER : 'B')),
            ackEach(),
          ),
        );
        advanceTo(2);
        expect(out.values).toEqual([]);
        source.lose(0);
        advanceTo(3);
        expect(out.values).toEqual(['B']);
      }));

    it('cancels what is being decoded on unsubscribe: it comes again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const first = drive(source.deliveries.pipe(decode(later({ a: 5, b: 1 })), ackEach()));
        advanceTo(3);
        first.unsubscribe();
        advanceTo(4);
        expect(source.isOpen).toBe(false);
        const second = drive(source.deliveries.pipe(decode(later({ a: 1, b: 1 })), ackEach()));
        advanceTo(20);
        expect(first.values).toEqual([]);
        expect(second.values).toEqual(['A', 'B']);
      }));

    it('changes nothing where a promise of a cancelled one settles', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const out = drive(
          source.deliveries.pipe(
            decode(() => thenable({ atMs: 5, value: 'late' }) as PromiseLike<string>),
            ackEach(),
          ),
        );
        advanceTo(3);
        source.lose();
        advanceTo(10);
        expect(out.values).toEqual([]);
        expect(source.settled()).toEqual([]);
      }));
  });

  it('refuses what is no codec, a schema too, and one that can be called', () => {
    const codecs = 'json(schema), text(schema) or a function of the bytes (a schema checks values, not bytes)';
    expect(refusal(() => decode(untyped({})))).toBe(`decode: codec must be a codec: ${codecs}, not an object.`);
    expect(refusal(() => decode(untyped('json')))).toContain('not a string');
    expect(refusal(() => decode(untyped(z.object({}))))).toContain('json(schema)');
    expect(
      refusal(() =>
        decode(
          untyped(
            Object.assign(
              () => 1,
              schemaOf((value) => ({ value })),
            ),
          ),
        ),
      ),
    ).toContain('not a function');
    expect(refusal(() => json(untyped({})))).toContain('json: schema must be a Standard Schema');
    expect(refusal(() => text(untyped(() => 'a')))).toContain('text: schema must be a Standard Schema');
  });
});

/** All that could be shown of an error: its own text, its stack, its causes, its data. */
function everythingOf(error: unknown): string {
  const parts: string[] = [];
  for (let current = error, depth = 0; current instanceof Error && depth < 5; depth++) {
    parts.push(current.message, current.stack ?? '', JSON.stringify(current));
    current = current.cause;
  }
  return parts.join('\n');
}
