import { describe, expect, it } from '@jest/globals';
import { EMPTY, throwError, type Observable } from 'rxjs';
import {
  ackEach,
  dedupe,
  handle,
  permanent,
  publishTo,
  retryToDlq,
  unavailable,
  type Delivery,
  type TelemetryEvent,
} from 'rxsluice';
import { environment } from '../../lib/core/environment.js';
import { SluiceError } from '../../lib/core/errors.js';
import { MOST_KINDS } from '../../lib/core/process-warnings.js';
import { confirms, fakePublisher, OUTAGE, refuses, until } from '../support/publishers.js';
import { collect, testLog, virtually, type TestLog, type TestLogOptions } from './harness.js';

interface Run {
  readonly log: TestLog;
  /** What was told since it was asked last. */
  told(): string[];
  advance(ms: number): void;
}

/** Runs a pipeline without telemetry in virtual time, with the process warnings caught. */
function warned(
  pipeline: (deliveries: Observable<Delivery<Uint8Array | null>>) => Observable<unknown>,
  test: (run: Run) => void,
  options: TestLogOptions = {},
): void {
  let told: string[] = [];
  const { warn } = environment;
  environment.warn = (message) => void told.push(message);
  try {
    virtually(({ advance }) => {
      const log = testLog({ silent: true, ...options });
      const subscription = pipeline(log.deliveries).subscribe();
      test({
        log,
        advance,
        told: () => {
          const texts = told;
          told = [];
          return texts;
        },
      });
      subscription.unsubscribe();
      advance(60_000);
    });
  } finally {
    environment.warn = warn;
  }
}

const SECRET = 'card 4111 1111';
const LIKE_A_STACK = 'a\n    at x (/card41111111:1:1)\n    at y (/card41111111:1:1)';
const fails = (make: () => unknown) =>
  handle((_: Uint8Array | null): void => {
    throw make();
  });
const declined = fails(() => new RangeError(SECRET));

describe('without telemetry a failure', () => {
  it('is told once by class, code and place, then as a count at growing intervals', () =>
    warned(
      (source) => source.pipe(declined, ackEach()),
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0);
        const [first, ...others] = told();
        expect(others).toEqual([]);
        expect(first).toMatch(/^rxsluice: message t\/0\/0 failed: RangeError at process-warnings\.spec\.ts:\d+:\d+\. /);
        expect(first).toContain(
          'The source runs it again after a wait, without a limit, and it never becomes a dead letter: no retryToDlq() comes before',
        );
        const times: number[] = [];
        const texts: string[] = [];
        for (let second = 1; second <= 7_200; second++) {
          advance(1_000);
          for (const text of told()) {
            if (!text.includes('in all')) continue;
            times.push(second);
            texts.push(text);
          }
        }
        // It fails every 30 s at most, so the intervals are those of the silence or a little longer: 15 s, 1, 4, 16 min, 1 h.
        const gaps = times.map((time, index) => time - (times[index - 1] ?? 0));
        [15, 60, 240, 960, 3_600].forEach((least, index) => {
          expect(gaps[index]).toBeGreaterThanOrEqual(least);
          expect(gaps[index]).toBeLessThanOrEqual(least + 31);
        });
        expect(texts).toHaveLength(5);
        expect(texts[0]).toMatch(
          /message t\/0\/0 failed: RangeError at .*\(\d+ of this kind since the last such warning, \d+ in all\.\)$/,
        );
        expect(texts.join()).not.toContain('4111');
      },
    ));

  it('is told for each kind by itself: by whoever runs it again, by class and by code', () => {
    const errors = [
      new TypeError(SECRET),
      new TypeError(SECRET),
      Object.assign(new Error(SECRET), { code: 'E_DECLINED' }),
      Object.assign(new Error(SECRET), { code: 'E_STOLEN' }),
      SECRET,
      undefined,
    ];
    let next = 0;
    warned(
      (source) =>
        source.pipe(
          retryToDlq({ deadLetters: fakePublisher(), maxRetries: 1 }),
          fails(() => errors[next++ % 6]),
          ackEach(),
        ),
      ({ log, told }) => {
        log.push(log.partition(0), 0, 1, 2, 3, 4, 5);
        const texts = told();
        expect(texts.map((text) => /failed: (.*?)( at \S+)?\. retryToDlq/.exec(text)?.[1])).toEqual([
          'TypeError',
          'Error E_DECLINED',
          'Error E_STOLEN',
          'not an Error (string)',
          'nacked without a reason',
        ]);
        expect(texts.filter((text) => text.includes('named by class'))).toHaveLength(1);
        expect(texts.join()).not.toContain('4111');
      },
    );
  });

  it('that becomes a dead letter is told as that, and how many there were when the source ends', () =>
    warned(
      (source) =>
        source.pipe(
          retryToDlq({ deadLetters: fakePublisher() }),
          fails(() => permanent(new TypeError(SECRET))),
          ackEach(),
        ),
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0, 1, 2);
        expect(told()).toEqual([
          expect.stringMatching(
            /^rxsluice: message t\/0\/0 is a dead letter now: TypeError at process-warnings\.spec\.ts:\d+:\d+\. /,
          ),
        ]);
        log.engine.end();
        advance(100);
        expect(told()).toEqual(['rxsluice: the source has ended. In all: dead letters after TypeError: 3.']);
      },
    ));

  it('is of at most so many kinds; those beyond are counted as one', () => {
    let next = 0;
    warned(
      (source) =>
        source.pipe(
          retryToDlq({ deadLetters: fakePublisher() }),
          fails(() => permanent(Object.assign(new Error(SECRET), { code: `E_${next++}` }))),
          ackEach(),
        ),
      ({ log, told, advance }) => {
        const offsets = Array.from({ length: 3 * MOST_KINDS }, (_, offset) => offset);
        log.push(log.partition(0), ...offsets);
        expect(told().length).toBeLessThanOrEqual(MOST_KINDS + 1);
        log.engine.end();
        advance(100);
        const [sum] = told();
        expect(sum).toMatch(/failures of other kinds: \d{3}/);
        expect(sum?.length).toBeLessThan(2_000);
      },
    );
  });

  it('names what stands behind it, by class, code and the words of the system', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:8080'), {
      code: 'ECONNREFUSED',
      syscall: 'connect',
      address: '127.0.0.1',
      port: 8080,
    });
    warned(
      (source) =>
        source.pipe(
          fails(() => new TypeError(SECRET, { cause: refused })),
          ackEach(),
        ),
      ({ log, told }) => {
        log.push(log.partition(0), 0);
        expect(told()[0]).toMatch(
          /failed: TypeError at \S+, because of connect ECONNREFUSED 127\.0\.0\.1:8080\. The source/,
        );
      },
    );
  });

  it.each<readonly [string, () => unknown]>([
    ['a getter that throws', () => Object.defineProperty(new Error('a'), 'name', { get: () => fail() })],
    ['a stack that is no text', () => Object.assign(new Error('a'), { stack: 5 })],
    ['a text that looks like a stack', () => new Error(LIKE_A_STACK)],
    [
      'such a stack, of another text',
      () => Object.assign(new Error('other words'), { stack: `Error: ${LIKE_A_STACK}` }),
    ],
    ['a marked text', () => permanent(SECRET)],
  ])('of an odd error is told all the same, without its text: %s', (_, make) =>
    warned(
      (source) =>
        source.pipe(
          retryToDlq({ deadLetters: fakePublisher() }),
          fails(() => permanent(make())),
          ackEach(),
        ),
      ({ log, told }) => {
        log.push(log.partition(0), 0);
        const texts = told();
        expect(texts).toHaveLength(1);
        expect(texts[0]).toContain('message t/0/0 is a dead letter now: ');
        expect(texts[0]).not.toContain('1111');
      },
    ),
  );

  it('is no failure where a nack asks for a delay and gives no reason', () =>
    warned(
      (source) => {
        source.subscribe((delivery) => delivery.nack(undefined, { delayMs: 10 }));
        return EMPTY;
      },
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0);
        advance(1_000);
        expect(told()).toEqual([]);
      },
    ));

  it('is told to nobody but the telemetry where there is one', () => {
    const events: TelemetryEvent[] = [];
    warned(
      (source) => source.pipe(declined, ackEach()),
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0);
        advance(10_000);
        expect(told()).toEqual([]);
        expect(events.filter(({ type }) => type === 'retried').length).toBeGreaterThan(3);
      },
      { silent: false, telemetry: (event) => void events.push(event) },
    );
  });
});

describe('a message that is unsettled for too long', () => {
  const stuck = (texts: readonly string[]): string | undefined => texts.find((text) => text.includes('unsettled for'));

  it('is told with how it failed last', () =>
    warned(
      (source) => source.pipe(declined, ackEach()),
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0);
        advance(20_000);
        const text = stuck(told());
        expect(text).toMatch(
          /It has failed \d+ times, last failure: RangeError at process-warnings\.spec\.ts:\d+:\d+\.$/,
        );
        expect(text).not.toContain('hangs');
      },
      { unsettledWarnMs: 10_000 },
    ));

  it('below retryToDlq and batches too, and with telemetry as a field of the event', () =>
    virtually(({ advance }) => {
      const log = testLog({ unsettledWarnMs: 10_000 });
      log.deliveries
        .pipe(retryToDlq({ deadLetters: fakePublisher(), maxRetries: 20 }), declined, ackEach())
        .subscribe();
      log.push(log.partition(0), 0);
      advance(20_000);
      expect(log.events.find(({ type }) => type === 'unsettled-too-long')).toMatchObject({
        why: expect.stringMatching(/^It has failed \d+ times, last failure: RangeError at /) as unknown,
      });
    }));

  it('is told with what is out', () =>
    warned(
      (source) =>
        source.pipe(
          retryToDlq({ deadLetters: fakePublisher() }),
          fails(() => unavailable(new TypeError(SECRET))),
          ackEach(),
        ),
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0);
        advance(20_000);
        const texts = told();
        expect(texts[0]).toMatch(
          /what a handler depends on is out: TypeError at \S+\. Deliveries that need it are held/,
        );
        expect(stuck(texts)).toMatch(
          /stands still\. At the moment what a handler depends on is out: TypeError at \S+\.$/,
        );
      },
      { unsettledWarnMs: 10_000 },
    ));

  it('is told with the refusal of its dead letter', () =>
    warned(
      (source) => source.pipe(retryToDlq({ deadLetters: fakePublisher(refuses), maxRetries: 0 }), declined, ackEach()),
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0);
        advance(20_000);
        const texts = told();
        expect(texts[0]).toMatch(/^rxsluice: the dead letter of message t\/0\/0 was refused: Error/);
        expect(stuck(texts)).toMatch(/last failure: Error/);
      },
      { unsettledWarnMs: 10_000 },
    ));

  it('is told with the claim that it waits for', () =>
    warned(
      (source) =>
        source.pipe(
          dedupe({
            key: () => 'k',
            store: {
              claim: (keys: readonly string[]) => [keys.map(() => ({ status: 'held' as const }))],
              renew: () => [[]],
              confirm: () => [[]],
              release: () => [],
            },
          }),
          ackEach(),
        ),
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0);
        advance(20_000);
        expect(stuck(told())).toContain('It has waited for a claim on its key, which another message or consumer has.');
      },
      { unsettledWarnMs: 10_000 },
    ));

  it('is said to hang or to be dropped only where nothing is known of it', () =>
    warned(
      (source) => {
        collect(source);
        return EMPTY;
      },
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0);
        advance(20_000);
        expect(stuck(told())).toContain(
          'Look whether the pipeline ends with ackEach(), then whether an operator dropped the delivery without settling it',
        );
      },
      { unsettledWarnMs: 10_000 },
    ));
});

describe('a publisher that cannot be connected', () => {
  const unknownTopic = new SluiceError('unknown-topic', 'fake: there is no topic dead. Create it first.');

  it.each<
    readonly [
      string,
      (
        publisher: ReturnType<typeof fakePublisher>,
      ) => (source: Observable<Delivery<Uint8Array | null>>) => Observable<unknown>,
    ]
  >([
    ['the dead-letter publisher', (deadLetters) => (source) => source.pipe(retryToDlq({ deadLetters }), ackEach())],
    [
      'the publisher of publishTo',
      (publisher) => (source) =>
        source.pipe(
          publishTo(publisher, () => []),
          ackEach(),
        ),
    ],
  ])('%s: is told with the first delivery, before anything needs it, and when it is back', (what, pipelineOf) => {
    let works = false;
    const publisher = fakePublisher(confirms, () => (works ? [0] : throwError(() => unknownTopic)));
    warned(pipelineOf(publisher), ({ log, told, advance }) => {
      advance(10);
      log.push(log.partition(0), 0);
      expect(told()).toEqual([
        `rxsluice: ${what} is out: fake: there is no topic dead. Create it first. Deliveries that need it are held, and it is tried again.`,
      ]);
      works = true;
      advance(60_000);
      expect(told()).toEqual([`rxsluice: ${what} is back.`]);
    });
  });

  it('is told to telemetry once, and its end', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const publisher = fakePublisher(confirms, (attempt) => (attempt > 2 ? [0] : throwError(() => unknownTopic)));
      const pipeline = log.deliveries.pipe(retryToDlq({ deadLetters: publisher, maxRetries: 0 }), declined, ackEach());
      const subscription = pipeline.subscribe();
      log.push(log.partition(0), 0, 1);
      advance(10_000);
      const types = log.events.map(({ type }) => type);
      expect(types.filter((type) => type === 'unavailable' || type === 'recovered')).toEqual([
        'unavailable',
        'recovered',
      ]);
      expect(log.events).toContainEqual({
        type: 'unavailable',
        what: 'the dead-letter publisher',
        error: expect.objectContaining({
          code: 'publish-failed',
          message: unknownTopic.message,
          cause: unknownTopic,
        }) as unknown,
      });
      expect(types.filter((type) => type === 'dead-lettered')).toHaveLength(2);
      subscription.unsubscribe();
    }));
});

describe('a stop that leaves deliveries unsettled', () => {
  it('is told with what is out, and how the message failed', () => {
    const stop = new AbortController();
    const publisher = fakePublisher(confirms, () =>
      throwError(() => new SluiceError('unknown-topic', 'fake: no topic dead.')),
    );
    warned(
      (source) => source.pipe(retryToDlq({ deadLetters: publisher, maxRetries: 1 }), declined, ackEach()),
      ({ log, told, advance }) => {
        log.push(log.partition(0), 0, 1, 2);
        advance(10_000);
        told();
        stop.abort();
        advance(3_000);
        const text = told().find((each) => each.includes('after the stop'));
        expect(text).toMatch(
          /2000 ms after the stop t\/0 had unsettled deliveries: 3\. They come again\. The oldest one: It has failed once/,
        );
        expect(text).toMatch(/At the moment the dead-letter publisher is out: fake: no topic dead\.$/);
      },
      { stop: stop.signal, drainTimeoutMs: 2_000 },
    );
  });
});

describe('an outage', () => {
  it('that comes and goes is told at growing intervals, and one that stays is told in the end', () => {
    let out = true;
    const publisher = fakePublisher(
      until(Infinity, (messages, call) => (out ? throwError(() => OUTAGE) : confirms(messages, call))),
    );
    warned(
      (source) =>
        source.pipe(
          publishTo(publisher, () => ({ value: 'x' })),
          ackEach(),
        ),
      ({ log, told, advance }) => {
        const partition = log.partition(0);
        let offset = 0;
        const flap = (): void => {
          out = true;
          log.push(partition, offset++);
          advance(500);
          out = false;
          advance(2_000);
        };
        for (let i = 0; i < 4; i++) flap();
        expect(told().map((text) => text.replace(/: Error.*/, ''))).toEqual([
          'rxsluice: the publisher of publishTo is out',
          'rxsluice: the publisher of publishTo is back.',
        ]);
        // Untold as it begins, it lasts.
        out = true;
        log.push(partition, offset++);
        advance(60_000);
        expect(told().filter((text) => text.includes('is out'))).toHaveLength(1);
      },
    );
  });
});

function fail(): never {
  throw new Error('a getter');
}
