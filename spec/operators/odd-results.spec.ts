import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { EMPTY, lastValueFrom, NEVER, tap, type Observable } from 'rxjs';
import {
  ackEach,
  dedupe,
  fanOut,
  filterValue,
  handle,
  isSluiceError,
  mapValue,
  ordered,
  publish,
  publishTo,
  retryToDlq,
  split,
  topicPublisher,
  withOutbox,
  type Delivery,
  type TelemetryEvent,
} from 'rxsluice';
import { fromMemory, memoryBroker, memoryIdempotencyStore, memoryOutboxStore, memoryPublisher } from 'rxsluice/memory';
import { environment } from '../../lib/core/environment.js';
import { untyped } from '../support/options.js';

type Bytes = Observable<Delivery<Uint8Array | null>>;

const BROKEN = new Error('rejected');
const rejects = (): Promise<never> => Promise.reject(BROKEN);
const unhandled: unknown[] = [];
const collect = (error: unknown): void => void unhandled.push(error);

beforeAll(() => void process.on('unhandledRejection', collect));
afterAll(() => void process.off('unhandledRejection', collect));
beforeEach(() => void unhandled.splice(0));

/** Three messages through a pipeline below `retryToDlq`, to their end. */
async function run(build: (source: Bytes) => Observable<unknown>, retry: object = {}) {
  const broker = memoryBroker({ topics: { in: {}, dead: {}, out: {} } });
  const values = ['a', 'b', 'c'];
  await lastValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), values.map((value) => ({ key: value, value })))); // prettier-ignore
  const events: TelemetryEvent[] = [];
  const source = fromMemory(broker, {
    groupId: 'g',
    topics: ['in'],
    until: 'end',
    telemetry: (event) => events.push(event),
  });
  const deadLetters = memoryPublisher(broker, { topic: 'dead' });
  const emitted: unknown[] = [];
  const pipeline = build(source.pipe(retryToDlq({ deadLetters, maxRetries: 0, ...retry })));
  let error: unknown;
  try {
    await lastValueFrom(pipeline.pipe(tap((value) => emitted.push(value))), { defaultValue: null });
  } catch (thrown) {
    error = thrown;
  }
  // Rejections are told once the microtasks are over.
  await new Promise((resolve) => setImmediate(resolve));
  const reasons = events.flatMap((event) => (event.type === 'dead-lettered' ? [event.reason] : []));
  const codes = reasons.map((reason) => (isSluiceError(reason) ? reason.code : reason));
  const texts = reasons.map((reason) => (isSluiceError(reason) ? reason.message : ''));
  const misuses = events.flatMap((event) => (event.type === 'misuse' ? [event.code] : []));
  return { emitted, error, codes, texts, misuses, committed: broker.committed('g', 'in') };
}

const store = () => memoryIdempotencyStore();
const out = () => memoryPublisher(memoryBroker({ topics: { out: {} } }), { topic: 'out' });

describe('a function that must answer at once, and gives a Promise that is rejected', () => {
  it.each<[string, string, (source: Bytes) => Observable<unknown>]>([
    ['mapValue', 'invalid-result', (source) => source.pipe(mapValue(untyped(rejects)), ackEach())],
    ['filterValue', 'invalid-result', (source) => source.pipe(filterValue(untyped(rejects)), ackEach())],
    ['by of ordered', 'invalid-key', (source) => source.pipe(ordered({ by: untyped(rejects) }), ackEach())],
    [
      'key of dedupe',
      'invalid-key',
      (source) => source.pipe(dedupe({ key: untyped(rejects), store: store() }), ackEach()),
    ],
    [
      'key of withOutbox',
      'invalid-key',
      (source) => source.pipe(withOutbox(memoryOutboxStore(), () => 1, { key: untyped(rejects) })),
    ],
    ['split', 'invalid-parts', (source) => source.pipe(split(untyped(rejects)), ackEach())],
    [
      'parts of split',
      'invalid-parts',
      (source) => source.pipe(split(untyped(() => [1, rejects(), rejects()])), ackEach()),
    ],
    ['publishTo', 'publish-failed', (source) => source.pipe(publishTo(out(), untyped(rejects)), ackEach())],
    [
      'messages of publishTo',
      'publish-failed',
      (source) =>
        source.pipe(
          publishTo(
            out(),
            untyped(() => [{ value: 'x' }, rejects()]),
          ),
          ackEach(),
        ),
    ],
  ])('%s: a dead letter as %s, and the process goes on', async (_, code, build) => {
    const { codes, error, texts, committed } = await run(build);
    expect(codes).toEqual([code, code, code]);
    expect(texts[0]).toMatch(/Promise/);
    expect(error).toBeUndefined();
    expect(unhandled).toEqual([]);
    expect(committed).toEqual([3]);
  });

  it('is told once as a misuse by mapValue and filterValue', async () => {
    expect((await run((source) => source.pipe(mapValue(untyped(rejects)), ackEach()))).misuses).toEqual([
      'mapValue-not-at-once',
    ]);
    expect((await run((source) => source.pipe(filterValue(untyped(rejects)), ackEach()))).misuses).toEqual([
      'filterValue-not-at-once',
    ]);
  });

  it('does not run a query builder that is given by mistake: what its then does is not asked for', async () => {
    let runs = 0;
    const builder = () => ({ then: () => void runs++ });
    expect((await run((source) => source.pipe(mapValue(untyped(builder)), ackEach()))).codes).toHaveLength(3);
    expect(runs).toBe(0);
  });

  const failing = (source: Bytes) =>
    source.pipe(
      handle(() => {
        throw new Error('no');
      }),
      ackEach(),
    );

  it('classify, backoff: the marks and the default backoff decide', async () => {
    const { codes } = await run(failing, { classify: rejects });
    expect(codes).toEqual([new Error('no'), new Error('no'), new Error('no')]);
    await run(failing, { maxRetries: 1, backoff: rejects });
    expect(unhandled).toEqual([]);
  });

  it('telemetry: told once by a process warning', async () => {
    const warnings: string[] = [];
    const { warn } = environment;
    environment.warn = (text) => void warnings.push(text);
    try {
      const broker = memoryBroker({ topics: { in: {} } });
      publish(memoryPublisher(broker, { topic: 'in' }), [{ value: 'a' }, { value: 'b' }]).subscribe();
      const options = { groupId: 'g', topics: ['in'], until: 'end' as const, telemetry: untyped(rejects) };
      await lastValueFrom(fromMemory(broker, options).pipe(ackEach()));
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).toEqual(['rxsluice: the telemetry function threw Error; what it throws is ignored.']);
      expect(unhandled).toEqual([]);
    } finally {
      environment.warn = warn;
    }
  });

  it('a branch of fanOut, or one that gives no Observable: the pipeline fails as invalid-options', async () => {
    for (const branch of [rejects, () => undefined, () => [1]]) {
      const { error } = await run((source) => source.pipe(fanOut(ackEach() as never, untyped(branch))));
      expect(error).toMatchObject({ code: 'invalid-options' });
      expect((error as Error).message).toContain('fanOut: branch 2 must be an operator');
    }
    expect(unhandled).toEqual([]);
  });

  it('topicPublisher: its messages fail as transient, typed', async () => {
    const outcomes = await lastValueFrom(publish(topicPublisher(untyped(rejects)), [{ topic: 't', value: 'x' }]));
    await new Promise((resolve) => setImmediate(resolve));
    expect(outcomes).toMatchObject([{ status: 'transient', error: { code: 'invalid-options' } }]);
    expect(unhandled).toEqual([]);
  });
});

describe('a function that gives something else than it must', () => {
  it.each([undefined, null, 0, 1, 'true', {}, NaN])('filterValue: %p is neither true nor false', async (odd) => {
    const { codes, texts } = await run((source) => source.pipe(filterValue(untyped(() => odd)), ackEach()));
    expect(codes).toEqual(['invalid-result', 'invalid-result', 'invalid-result']);
    expect(texts[0]).toContain('true or false');
  });

  it.each([NaN, true, {}, 1n])('by of ordered: %p is no key', async (odd) => {
    const { codes } = await run((source) => source.pipe(ordered({ by: untyped(() => odd) }), ackEach()));
    expect(codes).toEqual(['invalid-key', 'invalid-key', 'invalid-key']);
  });

  it.each([undefined, null])('by of ordered: %p is unordered', async (none) => {
    expect((await run((source) => source.pipe(ordered({ by: () => none }), ackEach()))).emitted).toHaveLength(3);
  });

  it.each([undefined, null, 5, NaN, '', {}])('key of dedupe: %p is no key', async (odd) => {
    const { codes } = await run((source) =>
      source.pipe(dedupe({ key: untyped(() => odd), store: store() }), ackEach()),
    );
    expect(codes).toEqual(['invalid-key', 'invalid-key', 'invalid-key']);
  });

  it('mapValue: undefined, NaN and an Observable are values', async () => {
    for (const value of [undefined, NaN, NEVER]) {
      expect((await run((source) => source.pipe(mapValue(() => value), ackEach()))).emitted).toEqual([value, value, value]); // prettier-ignore
    }
  });

  it.each([undefined, null, 'perhaps', 7])('classify: %p leaves it to the marks', async (odd) => {
    const { codes } = await run(
      (source) =>
        source.pipe(
          mapValue(() => Promise.resolve(1) as never),
          ackEach(),
        ),
      { classify: () => odd, maxRetries: 5, backoff: () => 60_000 },
    );
    // Permanent by its mark: no retry.
    expect(codes).toEqual(['invalid-result', 'invalid-result', 'invalid-result']);
  });

  it('an Observable that gives nothing is undefined for handle', async () => {
    expect((await run((source) => source.pipe(handle(() => EMPTY), ackEach()))).emitted).toEqual([undefined, undefined, undefined]); // prettier-ignore
  });
});
