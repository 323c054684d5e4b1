import { afterEach, describe, expect, it } from '@jest/globals';
import { mergeMap, of, tap, throwError, type Observable } from 'rxjs';
import { z } from 'zod';
import { constant } from '../../lib/core/backoff.js';
import { environment } from '../../lib/core/environment.js';
import { SluiceError } from '../../lib/core/errors.js';
import type { IdempotencyStore } from '../../lib/core/idempotency-store.js';
import type { Message } from '../../lib/core/message.js';
import { checkOptions } from '../../lib/core/options.js';
import type { TelemetryEvent } from '../../lib/core/telemetry.js';
import {
  ackEach,
  batch,
  decode,
  dedupe,
  fanOut,
  filterValue,
  handle,
  json,
  mapValue,
  ordered,
  permanent,
  publishTo,
  retryToDlq,
  settling,
  split,
  text,
  topicPublisher,
  transient,
  unavailable,
  withOutbox,
  type Delivery,
  type Publisher,
  type PublishOutcome,
} from '../../lib/index.js';
import { memoryIdempotencyStore, memoryOutboxStore } from '../../lib/memory.js';
import { marbles } from '../support/marbles.js';
import { confirms, fakePublisher, type FakePublisher } from '../support/publishers.js';
import type { ScriptedLog, ScriptedPosition } from '../support/scripted-log.js';
import { MOST_TEXT_BYTES, textsOfError, textsOfEvent } from './our-texts.js';

// No name of a class and no code looks like this, and no name of ours has a part of it.
const THROWN = 'Canary of what was thrown 4111 1111';
const VALUE = 'canary-of-the-value';
const KEY = 'canary-of-the-key';
const HEADER = 'canary-of-a-header';

const errorOf = (fields: object, message = THROWN): Error => Object.assign(new Error(message), fields);

/** What people and clients throw. */
const REASONS: Readonly<Record<string, () => unknown>> = {
  'an error': () => new Error(THROWN),
  'a text': () => THROWN,
  'a frozen error': () => Object.freeze(new Error(THROWN)),
  'an error with causes': () =>
    new Error(THROWN, { cause: new AggregateError([new Error(THROWN)], THROWN, { cause: THROWN }) }),
  'one whose name, code and type are sentences': () => errorOf({ name: THROWN, code: THROWN, type: THROWN }),
  'a failed read of a file': () => errorOf({ code: 'ENOENT', syscall: 'open', path: THROWN }),
  'a failed command': () => errorOf({ code: 'ENOENT', syscall: `spawn ${THROWN}`, path: THROWN }),
  'a host that is no host': () => errorOf({ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: THROWN }),
  'an object': () => ({ message: THROWN, code: THROWN, toString: () => THROWN }),
  'an object without a prototype': () => Object.assign(Object.create(null) as object, { message: THROWN }),
  'a list': () => [THROWN],
  'a megabyte': () => new Error(THROWN.repeat(30_000)),
};

const MARKS: Readonly<Record<string, (reason: unknown) => unknown>> = {
  unmarked: (reason) => reason,
  permanent,
  transient,
  unavailable,
};

type Incoming = Observable<Delivery<Uint8Array | null, ScriptedPosition>>;
type Place = (fail: () => never, deadLetters: FakePublisher) => (source: Incoming) => Observable<unknown>;

const dlq = (deadLetters: Publisher<Message>, options: object = {}) =>
  retryToDlq({ deadLetters, maxRetries: 1, ...options });
const fails = (fail: () => never): Observable<never> => throwError(() => reasonOf(fail));
const message: Message = { value: VALUE };

/** What a function throws. */
function reasonOf(fail: () => never): unknown {
  try {
    return fail();
  } catch (reason) {
    return reason;
  }
}

const idempotency = (fail: () => never, call: 'claim' | 'confirm' | 'release'): IdempotencyStore =>
  Object.assign({ ...memoryIdempotencyStore() }, { [call]: fail });

/** Wherever a function or an object of a user, or a client, can fail. */
const PLACES: Readonly<Record<string, Place>> = {
  'a handler': (fail, out) => (source) => source.pipe(dlq(out), handle(fail), ackEach()),
  'a handler without retryToDlq': (fail) => (source) => source.pipe(handle(fail), ackEach()),
  'a handler above retryToDlq': (fail, out) => (source) => source.pipe(handle(fail), dlq(out), ackEach()),
  'the Promise of a handler': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      handle(() => fails(fail)),
      ackEach(),
    ),
  mapValue: (fail, out) => (source) => source.pipe(dlq(out), mapValue(fail), ackEach()),
  filterValue: (fail, out) => (source) => source.pipe(dlq(out), filterValue(fail), ackEach()),
  split: (fail, out) => (source) => source.pipe(dlq(out), split(fail), ackEach()),
  'a part of split': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      split(() => ({ [Symbol.iterator]: () => ({ next: fail }) })),
      ackEach(),
    ),
  'a codec': (fail, out) => (source) => source.pipe(dlq(out), decode(fail), ackEach()),
  'a codec that takes its time': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      decode(() => fails(fail)),
      ackEach(),
    ),
  'a schema': (fail, out) => (source) =>
    source.pipe(dlq(out), decode(text({ '~standard': { version: 1, vendor: 'x', validate: fail } })), ackEach()),
  'the key of ordered': (fail, out) => (source) => source.pipe(ordered({ by: fail }), dlq(out), ackEach()),
  'the key of dedupe': (fail, out) => (source) =>
    source.pipe(dlq(out), dedupe({ key: fail, store: memoryIdempotencyStore() }), ackEach()),
  'the claim of a store': (fail, out) => (source) =>
    source.pipe(dlq(out), dedupe({ key: () => KEY, store: idempotency(fail, 'claim') }), ackEach()),
  'the confirm of a store': (fail, out) => (source) =>
    source.pipe(dlq(out), dedupe({ key: () => KEY, store: idempotency(fail, 'confirm') }), ackEach()),
  'the release of a store': (fail, out) => (source) =>
    source.pipe(dlq(out), dedupe({ key: () => KEY, store: idempotency(fail, 'release') }), handle(fail), ackEach()),
  'the function of publishTo': (fail, out) => (source) =>
    source.pipe(dlq(out), publishTo(fakePublisher(), fail), ackEach()),
  'the connect of publishTo': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      publishTo(
        fakePublisher(confirms, () => fails(fail)),
        () => message,
      ),
      ackEach(),
    ),
  'the call of publishTo': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      publishTo(
        fakePublisher(() => fails(fail)),
        () => message,
      ),
      ackEach(),
    ),
  'an outcome of publishTo': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      publishTo(fakePublisher(outcome('permanent', fail)), () => message),
      ackEach(),
    ),
  'a passing outcome of publishTo': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      publishTo(fakePublisher(outcome('transient', fail)), () => message),
      ackEach(),
    ),
  'the function of topicPublisher': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      publishTo(topicPublisher(fail), () => ({ topic: 't', value: VALUE })),
      ackEach(),
    ),
  'a publisher of topicPublisher': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      publishTo(
        topicPublisher(() => fakePublisher(() => fails(fail))),
        () => ({ topic: 't', value: VALUE }),
      ),
      ackEach(),
    ),
  classify: (fail, out) => (source) => source.pipe(dlq(out, { classify: fail }), handle(fail), ackEach()),
  'the connect for dead letters': (fail) => (source) =>
    source.pipe(dlq(fakePublisher(confirms, () => fails(fail))), handle(fail), ackEach()),
  'the publish of dead letters': (fail) => (source) =>
    source.pipe(dlq(fakePublisher(() => fails(fail))), handle(refused), ackEach()),
  'a dead letter that is refused': (fail) => (source) =>
    source.pipe(dlq(fakePublisher(outcome('permanent', fail))), handle(refused), ackEach()),
  'one that is refused and stops': (fail) => (source) =>
    source.pipe(
      dlq(fakePublisher(outcome('permanent', fail)), { onUndeliverable: 'stop' }),
      handle(refused),
      ackEach(),
    ),
  'a batch': (fail, out) => (source) =>
    source.pipe(dlq(out), batch({ maxSize: 2, maxWaitMs: 5 }), handle(fail), ackEach()),
  'a batch below which it is tried again': (fail, out) => (source) =>
    source.pipe(batch({ maxSize: 2, maxWaitMs: 5 }), dlq(out), handle(fail), ackEach()),
  settling: (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      mergeMap((delivery) => settling(delivery, fail), 2),
      ackEach(),
    ),
  'a branch of fanOut': (fail, out) => (source) =>
    source.pipe(
      fanOut(
        (branch) => branch.pipe(dlq(out), handle(fail), ackEach()),
        (branch) => branch.pipe(ackEach()),
      ),
    ),
  'making a branch of fanOut': (fail) => (source) => source.pipe(fanOut(fail, (branch) => branch.pipe(ackEach()))),
  'the reason of a nack': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      tap((delivery) => delivery.nack(reasonOf(fail))),
    ),
  'a handler of withOutbox': (fail, out) => (source) =>
    source.pipe(dlq(out), withOutbox(memoryOutboxStore(), fail, { consumer: 'c' })),
  'the key of withOutbox': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      withOutbox(memoryOutboxStore(), () => 1, { consumer: 'c', key: fail }),
    ),
  'what withOutbox emits': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      withOutbox(memoryOutboxStore(), (_, { emit }) => emit({ topic: 't', value: reasonOf(fail) as never }), {
        consumer: 'c',
      }),
    ),
  'a transaction': (fail, out) => (source) =>
    source.pipe(
      dlq(out),
      withOutbox({ ...memoryOutboxStore(), transaction: () => fails(fail) }, () => 1, { consumer: 'c' }),
    ),
};

const refused = (): never => {
  throw permanent(new TypeError('x'));
};

function outcome(status: 'permanent' | 'transient', fail: () => never) {
  return (messages: readonly Message[]): Observable<readonly PublishOutcome[]> =>
    of(messages.map(() => ({ status, error: reasonOf(fail) })));
}

/** All texts of ours while two messages fail, and fail again, at this place. */
function told(place: Place, reason: unknown, withTelemetry: boolean): { ours: string[]; letters: readonly Message[] } {
  const ours: string[] = [];
  const deadLetters = fakePublisher();
  const { warn } = environment;
  environment.warn = (warning) => void ours.push(warning);
  const fail = (): never => {
    throw reason;
  };
  try {
    marbles(({ log, drive, advanceTo }) => {
      const source: ScriptedLog = log(undefined, {
        quiet: true,
        redelivery: constant(300),
        unsettledWarnMs: 1_000,
        ...(withTelemetry ? { telemetry: (event: TelemetryEvent) => void ours.push(...textsOfEvent(event)) } : {}),
      });
      const out = drive(place(fail, deadLetters)(source.deliveries));
      const given = { value: VALUE, key: KEY, headers: { trace: HEADER } };
      source.publish('a', given);
      source.publish('b', given);
      advanceTo(5_000);
      ours.push(...textsOfError(out.error));
    });
  } finally {
    environment.warn = warn;
  }
  return { ours, letters: deadLetters.published };
}

/** Without the frames of a stack, which are as many as the call is deep. */
function lengthOf(text: string): number {
  return Buffer.byteLength(text.split('\n    at ')[0] as string);
}

function expectClean(ours: readonly string[]): void {
  for (const one of ours) {
    expect(one).not.toContain('anary');
    expect(lengthOf(one)).toBeLessThanOrEqual(MOST_TEXT_BYTES);
  }
}

describe('no text of ours shows', () => {
  describe.each(Object.entries(PLACES))('what is thrown by %s,', (_place, place) => {
    it.each(Object.entries(REASONS))('be it %s', (_reason, reason) => {
      for (const mark of Object.values(MARKS)) {
        for (const withTelemetry of [false, true]) expectClean(told(place, mark(reason()), withTelemetry).ours);
      }
    });
  });

  it('what ends the source, what its commit fails with, and what its stop and its telemetry throw', () => {
    for (const reason of Object.values(REASONS)) {
      const ours: string[] = [];
      const { warn } = environment;
      environment.warn = (warning) => void ours.push(warning);
      try {
        const fail = (): never => {
          throw reason();
        };
        marbles(({ log, drive, advanceTo }) => {
          const failing = [
            { source: log(undefined, { quiet: true }), end: (source: ScriptedLog) => source.fail(reason()) },
            { source: log(undefined, { quiet: true, commit: fail }), end: () => undefined },
            { source: log(undefined, { quiet: true, telemetry: fail }), end: () => undefined },
            { source: log(undefined, { quiet: true, stop: fails(fail) }), end: () => undefined },
          ];
          for (const { source, end } of failing) {
            const out = drive(source.deliveries.pipe(ackEach()));
            source.publish('a', { value: VALUE, key: KEY });
            advanceTo(1_000);
            end(source);
            ours.push(...textsOfError(out.error));
          }
        });
      } finally {
        environment.warn = warn;
      }
      expect(ours.length).toBeGreaterThan(0);
      expectClean(ours);
    }
  });
});

describe('the texts that are looked at', () => {
  const seen = (place: string, withTelemetry: boolean): string =>
    told(PLACES[place] as Place, unavailable(new Error(THROWN)), withTelemetry).ours.join('\n');

  it('are there: warnings without telemetry, events and errors with it', () => {
    expect(seen('the claim of a store', false)).toContain('is out: Error');
    expect(seen('the claim of a store', true)).toContain('unavailable');
    const { ours } = told(PLACES['one that is refused and stops'] as Place, new Error(THROWN), true);
    expect(ours.join()).toContain('was refused for good');
  });

  it('would show a message that quotes what was thrown', () => {
    const leaking = new SluiceError('publish-failed', THROWN);
    const { ours } = told(PLACES['a handler without retryToDlq'] as Place, leaking, false);
    expect(() => expectClean(ours)).toThrow('anary');
  });
});

describe('a dead letter', () => {
  const BOUNDS: Readonly<Record<string, number>> = {
    'dead-letter-error-class': 64,
    'dead-letter-error-message': 1_024,
    'dead-letter-error-causes': 1_024,
    'dead-letter-error-stack': 4_096,
  };

  it.each(Object.entries(REASONS))('tells of %s within its bounds', (_, reason) => {
    for (const mark of Object.values(MARKS)) {
      const { letters } = told(PLACES['a handler'] as Place, mark(reason()), true);
      for (const { headers = {} } of letters) {
        for (const [name, bytes] of Object.entries(BOUNDS)) {
          expect(Buffer.byteLength(String(headers[name] ?? ''))).toBeLessThanOrEqual(bytes);
        }
      }
    }
  });

  it('has the message that was thrown, in the place of the one that says it was wrapped', () => {
    for (const [reason, name] of [
      [THROWN, 'string'],
      [Object.freeze(new RangeError(THROWN)), 'RangeError'],
    ] as const) {
      const [letter] = told(PLACES['a handler'] as Place, permanent(reason), true).letters;
      expect(letter?.headers).toMatchObject({ 'dead-letter-error-class': name, 'dead-letter-error-message': THROWN });
    }
  });
});

describe('what cannot be decoded', () => {
  const decoding = (codec: Parameters<typeof decode>[0]) => (source: Incoming) => source.pipe(decode(codec), ackEach());

  /** The reasons of the nacks of these values, and what they say. */
  function reasons(codec: Parameters<typeof decode>[0], values: readonly string[]): string[] {
    const ours: string[] = [];
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, {
        quiet: true,
        telemetry: (event) => {
          if (event.type === 'retried') ours.push(...textsOfEvent(event));
        },
      });
      drive(decoding(codec)(source.deliveries));
      values.forEach((value, index) => source.publish(String(index), { value }));
      advanceTo(1);
    });
    return ours;
  }

  it('shows nothing of the value, whatever it says of a position', () => {
    const values = [
      'position 4111111111111111',
      '{"card": position 4111111111111111',
      'x at position 4111111111111111',
      'in JSON at position 4111111111111111 (line 1 column 4111111111111111)',
      '4111111111111111x',
    ];
    const ours = reasons(json(), values);
    expect(ours.join('\n')).toContain('25 bytes that are not JSON from byte 0 on');
    for (const one of ours) expect(one).not.toContain('4111');
  });

  it('names five paths of properties at most, and no key that is data', () => {
    const record = json(z.record(z.string(), z.number()));
    const hostile = Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`SECRET${n}${'x'.repeat(100_000)}`, 'no']));
    const keys = {
      '4111111111111111': 'x',
      'anna@example.test': 'x',
      [`${VALUE} x`]: 'x',
      tok_12345abc: 'x',
      total: 'x',
    };
    const ours = reasons(record, [JSON.stringify(hostile), JSON.stringify(keys)]);
    expect(ours.join('\n')).toContain('does not match its schema at *, total.');
    for (const one of ours) {
      expect(one).not.toMatch(/4111|SECRET|anna|canary|12345/);
      expect(lengthOf(one)).toBeLessThanOrEqual(MOST_TEXT_BYTES);
    }
  });

  it('keeps a hundred paths as data, of any number of issues at any depth', () => {
    const list = reasons(json(z.array(z.number())), [JSON.stringify(Array(20_000).fill('x'))]);
    expect(list.join('\n')).toContain('at 0, 1, 2, 3, 4, ….');
    expect(list.join('\n')).toContain('"issues":20000');
    let deep: unknown = 'x';
    let schema: z.ZodType = z.number();
    for (let depth = 0; depth < 100; depth++) {
      deep = { down: deep };
      schema = z.object({ down: schema });
    }
    const [, , details] = reasons(json(schema), [JSON.stringify(deep)]).slice(-3) as [string, string, string];
    expect(JSON.parse(details)).toEqual({ paths: [`${'down.'.repeat(16)}…`], issues: 1 });
    for (const one of list) expect(lengthOf(one)).toBeLessThanOrEqual(MOST_TEXT_BYTES);
  });
});

describe('an option that is not allowed', () => {
  const refusal = (value: unknown, rule: object): string[] => {
    try {
      checkOptions('owner', { option: value }, { option: { required: true, ...rule } });
    } catch (error) {
      return textsOfError(error);
    }
    throw new Error('it was allowed');
  };

  it.each([
    ['a text', THROWN],
    ['an error', new Error(THROWN)],
    ['a list', [THROWN]],
    ['an object', { toString: () => THROWN }],
    ['a function', Object.assign(() => THROWN, { [THROWN]: 1 })],
    ['a symbol', Symbol(THROWN)],
  ])('is told by its kind, be it %s', (_, value) => {
    for (const rule of [{ integer: true, min: 1 }, { that: { be: 'good', holds: () => false } }]) {
      expectClean(refusal(value, rule));
    }
    if (typeof value !== 'string') expectClean(refusal(value, { type: 'string' }));
    expectClean(refusal(value, { oneOf: ['a', 'b'] }));
  });
});

afterEach(() => expect(environment.warn.name).toBe('warn'));
