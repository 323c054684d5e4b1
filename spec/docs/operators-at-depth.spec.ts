import { describe, expect, it } from '@jest/globals';
import * as rx from 'rxjs';
import {
  ackEach,
  batch,
  decode,
  dedupe,
  fanOut,
  filterValue,
  handle,
  mapValue,
  ordered,
  publish,
  publishTo,
  retryToDlq,
  settling,
  split,
  type Delivery,
  type HandlerResult,
} from 'rxsluice';
import { fromMemory, memoryBroker, memoryIdempotencyStore, memoryPublisher } from 'rxsluice/memory';
import { operatorRows, ourOperators } from './operator-rows.js';
import { usesOf, type D, type Use } from './operator-uses.js';

// No depth of recursion may depend on how many messages are ready: all of them are, at once.
const MESSAGES = 20_000;
const KEYS = 5_000;
const PATIENCE_MS = 120_000;

const numberOf = (value: unknown): number =>
  value instanceof Uint8Array ? Number(new TextDecoder().decode(value)) : Number(value);

type Work = (value: unknown) => HandlerResult<number>;

// A few are slow, again and again: behind them queue thousands that end at once, in all the ways in which work can.
function mixed(): Work {
  const failed = new Set<number>();
  return (value) => {
    const number = numberOf(value);
    if (number % 7_001 < 8) return rx.timer(5).pipe(rx.map(() => number));
    if (number % 3 === 0) return rx.of(number);
    if (number % 3 === 1 || failed.has(number)) return number;
    failed.add(number);
    throw new Error('the first attempt fails at once');
  };
}

const works: Readonly<Record<string, () => Work>> = {
  synchronous: () => numberOf,
  asynchronous: () => (value) => Promise.resolve(numberOf(value)),
  mixed,
};

const below = (work: Work): rx.OperatorFunction<Delivery<unknown>, Delivery<number>> =>
  rx.concatMap((delivery) => settling(delivery, work));

const end = rx.map((value: unknown) => {
  for (const each of [value].flat()) (each as Partial<D> | null)?.ack?.();
});

const letters = memoryBroker({ topics: { out: {}, dlq: {} } });
const out = memoryPublisher(letters, { topic: 'out' });
const deadLetters = memoryPublisher(letters, { topic: 'dlq' });

/** Our operators above a foreign one that queues; those that run work themselves, with that work. */
const ours: Readonly<Record<string, (work: Work) => Use>> = {
  ordered: (work) => (source) => source.pipe(ordered({ by: 'key' }), below(work)),
  retryToDlq: (work) => (source) => source.pipe(retryToDlq({ deadLetters, backoff: () => 1 }), below(work)),
  decode: (work) => (source) =>
    source.pipe(
      decode((bytes) => work(bytes)),
      below(numberOf),
    ),
  mapValue: (work) => (source) => source.pipe(mapValue(numberOf), below(work)),
  filterValue: (work) => (source) =>
    source.pipe(
      filterValue((value) => numberOf(value) % 2 === 0),
      below(work),
    ),
  dedupe: (work) => (source) =>
    source.pipe(dedupe({ key: (value) => `${numberOf(value)}`, store: memoryIdempotencyStore() }), below(work)),
  batch: (work) => (source) =>
    source.pipe(
      batch({ maxSize: 2, maxWaitMs: 5 }),
      below((values) => work((values as unknown[])[0])),
    ),
  publishTo: (work) => (source) =>
    source.pipe(
      below(work),
      publishTo(out, (value) => ({ value: String(value) })),
    ),
  split: (work) => (source) =>
    source.pipe(
      split((value) => [value, value]),
      below(work),
    ),
  fanOut: (work) => (source) => source.pipe(fanOut(below(work), below(work))),
  handle: (work) => (source) => source.pipe(handle(work, { concurrency: 4 })),
  ackEach: (work) => (source) => source.pipe(below(work), ackEach()),
};

/** Runs a pipeline to its end, then a plain one for what comes again; how it ended, and how many messages are done. */
async function runDry(use: Use): Promise<{ readonly failed: unknown; readonly done: number }> {
  const broker = memoryBroker({ topics: { t: {} } });
  const messages = Array.from({ length: MESSAGES }, (_, i) => ({ value: String(i), key: `k${i % KEYS}` }));
  await rx.lastValueFrom(publish(memoryPublisher(broker, { topic: 't' }), messages));
  const done = new Set<string>();
  const source = fromMemory(broker, {
    groupId: 'g',
    topics: ['t'],
    until: 'end',
    maxInFlight: MESSAGES,
    drainTimeoutMs: 200,
    telemetry: (event) => void (event.type === 'settled' && done.add(event.message.id)),
  });
  let failed: unknown = null;
  await new Promise<void>((resolve) => {
    source.pipe(use, end).subscribe({ error: (error: unknown) => resolve(void (failed = error)), complete: resolve });
  });
  await rx.lastValueFrom(source.pipe(ackEach()), { defaultValue: null });
  return { failed, done: done.size };
}

const cases = (operators: readonly string[]) =>
  operators.flatMap((operator) => Object.keys(works).map((work) => ({ operator, work })));

describe(`each operator that docs/operators-and-plain-rxjs.md calls safe, with ${MESSAGES} messages ready`, () => {
  const operators = operatorRows.filter(({ verdict }) => verdict !== 'leaks').map(({ operator }) => operator);

  it.each(cases(operators))(
    'goes on to the end through $operator, with $work work',
    async ({ operator, work }) => {
      const run = works[work]?.() as Work;
      const use = usesOf({ work: run, take: MESSAGES / 2, credits: MESSAGES })[operator] as Use;
      const { failed, done } = await runDry((source) =>
        (use(source) as rx.Observable<Delivery<unknown>>).pipe(below(run)),
      );
      expect(failed).toBeNull();
      expect(done).toBe(MESSAGES);
    },
    PATIENCE_MS,
  );

  it.each(cases(ourOperators))(
    'goes on to the end through $operator, one of ours, with $work work',
    async ({ operator, work }) => {
      const make = ours[operator];
      if (make === undefined) throw new Error(`The page lists ${operator}: add it here.`);
      const { failed, done } = await runDry(make(works[work]?.() as Work));
      expect(failed).toBeNull();
      expect(done).toBe(MESSAGES);
    },
    PATIENCE_MS,
  );

  it('has all of our operators that the page lists, and no others', () => {
    expect(Object.keys(ours).sort()).toEqual([...ourOperators].sort());
  });
});
