import { beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { config, firstValueFrom, lastValueFrom, map, NEVER, take, toArray, type Observable } from 'rxjs';
import * as root from 'rxsluice';
import * as memory from 'rxsluice/memory';
import { anotherCopy, type Copy } from '../support/another-copy.js';
import { hostile } from '../support/hostile.js';
import { textOf } from '../support/scripted-log.js';

const ours: Copy = { ...root, ...memory };
let other: Copy;
beforeAll(async () => {
  other = await anotherCopy();
});

const PAIRS: readonly (readonly [string, () => readonly [Copy, Copy]])[] = [
  ['a source of ours, operators of the other', () => [ours, other]],
  ['a source of the other, operators of ours', () => [other, ours]],
];

/** A broker of one copy with texts in `in`, and its source. */
async function sourceOf(copy: Copy, values: readonly string[], options: object = {}) {
  const broker = copy.memoryBroker({ topics: { in: {}, dlq: {} } });
  await firstValueFrom(
    copy.publish(
      copy.memoryPublisher(broker, { topic: 'in' }),
      values.map((value) => ({ value })),
    ),
  );
  const source = copy.fromMemory(broker, { groupId: 'g', topics: ['in'], until: 'end', ...options });
  return { broker, source };
}

const reasonOf = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)));

describe('two copies of the library, each in a realm of its own', () => {
  it('know the errors and the marks of each other', async () => {
    const thrown: unknown = await readFile('/no/such/file').catch((error: unknown) => error);
    for (const [one, two] of [
      [ours, other],
      [other, ours],
    ] as const) {
      for (const error of [thrown, new Error('x'), new DOMException('late', 'TimeoutError')]) {
        expect(one.unavailable(error)).toBe(error);
        expect(two.classifyFailure(error)).toBe('unavailable');
        expect(two.transient(error)).toBe(error);
        expect(one.classifyFailure(error)).toBe('transient');
      }
      const made = one.permanent('text');
      expect([two.isSluiceError(made), two.classifyFailure(made), two.permanent(made) === made]).toEqual([
        true,
        'permanent',
        true,
      ]);
      expect(two.isSluiceError(thrown)).toBe(false);
    }
    expect(other.unavailable(new Error('x')) instanceof Error).toBe(true);
    for (const make of Object.values(hostile())) expect(other.classifyFailure(make())).toBe('transient');
  });

  describe.each(PAIRS)('%s', (_, pair) => {
    it('retry, bury and settle', async () => {
      const [one, two] = pair();
      const { broker, source } = await sourceOf(one, ['1', 'x', '2', 'x']);
      const deadLetters = one.memoryPublisher(broker, { topic: 'dlq' });
      const values = await lastValueFrom(
        source.pipe(
          two.ordered({ by: 'key' }),
          two.retryToDlq({ deadLetters, maxRetries: 1, backoff: two.constant(1) }),
          two.decode(two.text()),
          two.dedupe({ key: (value) => value ?? '', store: one.memoryIdempotencyStore() }),
          two.handle(async (value) => (value === 'x' ? readFile('/no/such/file') : Number(value))),
          two.batch({ maxSize: 2, maxWaitMs: 10 }),
          two.handle((numbers) => numbers),
          two.ackEach(),
          toArray(),
        ),
      );
      expect(values.flat().sort()).toEqual([1, 2]);
      const letters = broker.messages('dlq');
      expect(letters).toHaveLength(2);
      const message = letters[0]?.headers['dead-letter-error-message'];
      expect(typeof message === 'string' ? message : textOf(message as Uint8Array)).toMatch(/^ENOENT: no such file/);
      expect(broker.committed('g', 'in')).toEqual([4]);
    });

    it('abort the signal of a handler that takes too long, below an operator of the other copy', async () => {
      const [one, two] = pair();
      const { source } = await sourceOf(one, ['a'], { until: undefined });
      const signals: AbortSignal[] = [];
      const pipeline: Observable<unknown> = source.pipe(
        // The source's own copy makes the delivery that has another value.
        map((delivery) => delivery.withValue('b')),
        two.handle(
          (_value, { signal }) => {
            signals.push(signal);
            return NEVER;
          },
          { timeoutMs: 5 },
        ),
      );
      const subscription = pipeline.subscribe();
      while (signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      const [signal] = signals as [AbortSignal];
      const reason = signal.aborted ? (signal.reason as unknown) : await reasonOf(signal);
      expect(reason).toMatchObject({ code: 'handler-timeout' });
      subscription.unsubscribe();
    });

    it('emit nothing of what was settled above', async () => {
      const [one, two] = pair();
      const { source } = await sourceOf(one, ['a', 'b']);
      const settledFirst = source.pipe(
        map((delivery) => {
          const child = delivery.withValue('b');
          delivery.ack();
          return child;
        }),
        two.handle((value) => value),
        two.ackEach(),
        toArray(),
      );
      expect(await lastValueFrom(settledFirst)).toEqual([]);
    });

    it('end a pipeline of run that still emits deliveries', async () => {
      const [one, two] = pair();
      const { source } = await sourceOf(one, ['a'], {
        until: undefined,
        drainTimeoutMs: 0,
        telemetry: () => undefined,
      });
      const pipeline: Observable<unknown> = source;
      const { onUnhandledError } = config;
      const told = new Promise<unknown>((resolve) => (config.onUnhandledError = resolve));
      try {
        const subscription = two.run(pipeline);
        expect(await told).toMatchObject({ code: 'unsupported' });
        expect(subscription.closed).toBe(true);
      } finally {
        config.onUnhandledError = onUnhandledError;
      }
    });

    it('stop by a signal, and take ten', async () => {
      const [one, two] = pair();
      const { source } = await sourceOf(one, ['a', 'b', 'c'], { stop: AbortSignal.abort() });
      expect(await lastValueFrom(source.pipe(two.ackEach(), take(10), toArray()))).toEqual([]);
    });
  });
});
