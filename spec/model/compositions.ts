import { map, mergeMap, timer, type OperatorFunction } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  ackEach,
  batch,
  dedupe,
  fanOut,
  handle,
  mapValue,
  ordered,
  permanent,
  publishTo,
  retryToDlq,
  split,
  unavailable,
  withOutbox,
} from '../../lib/index.js';
import { environment } from '../../lib/core/environment.js';
import { memoryOutboxStore } from '../../lib/memory.js';
import { confirms, fakePublisher, isOut, mishaps, type PublishAnswer } from '../support/publishers.js';
import { scriptedLog } from '../support/scripted-log.js';
import { fakeStore, storeIsOut, storeUntil } from '../support/stores.js';
import { choices } from './random.js';

/** Operators of ours that may stand anywhere between a source and its end. */
export const MIDDLE = [
  'ordered',
  'orderedByValue',
  'retryToDlq',
  'dedupe',
  'batch',
  'split',
  'fanOut',
  'branches',
  'publishTo',
  'handle',
] as const;
export const LAST = ['handle, ackEach', 'withOutbox'] as const;

export type Middle = (typeof MIDDLE)[number];
export type Last = (typeof LAST)[number];

export interface Composition {
  readonly middle: readonly Middle[];
  readonly last: Last;
}

/** The result of one run of a composition. */
export interface Outcome {
  /** Completed, with nothing left in flight or held. */
  readonly ended: boolean;
  /** The code of the typed error that refused it, if any. */
  readonly refused: string | null;
  /** Codes of `misuse`. */
  readonly warned: readonly string[];
  /** Messages that were neither worked on to the end, nor dead letters, nor repeats of one that was. */
  readonly lost: readonly string[];
  /** The virtual time of the end, or of giving up. */
  readonly endedAt: number;
  readonly left: string;
}

export interface RunOptions {
  readonly seed: number;
  /** The last resort of each `batch`. */
  readonly maxWaitMs: number;
  /** How long to wait for the end. */
  readonly untilMs: number;
  /** The source says at once that nothing more will come: else it stays open, and only the messages must end. */
  readonly ends: boolean;
}

type Any = OperatorFunction<unknown, unknown>;

const MESSAGES = 24;
const DISTINCT = 20;

/** Runs messages of few keys, four of them repeats, through a composition, with failures and outages, in virtual time. */
export function runComposition(composition: Composition, options: RunOptions): Outcome {
  const scheduler = new TestScheduler(() => undefined);
  const { random } = environment;
  try {
    return scheduler.run(() => simulate(composition, options, scheduler));
  } finally {
    environment.random = random;
  }
}

function simulate({ middle, last }: Composition, options: RunOptions, scheduler: TestScheduler): Outcome {
  const { below, chance, next } = choices(options.seed);
  environment.random = next;
  const retries = middle.includes('retryToDlq');
  // Without a retry nobody gives up: then a message must not fail for ever.
  const poison = retries && chance(0.5);
  const outageMs = chance(0.6) ? 50 + below(400) : 0;
  const storeOutMs = chance(0.4) ? 50 + below(300) : 0;
  const lettersOutMs = chance(0.4) ? 50 + below(300) : 0;
  const publisherOutMs = chance(0.4) ? 50 + below(300) : 0;
  const keys = 1 + below(4);
  const concurrency = 1 + below(4);
  const slowMs = chance(0.5) ? below(20) : 0;
  const maxInFlight = chance(0.3) ? 2 + below(6) : 100;

  const reached = new Set<string>();
  const failed = new Map<string, number>();
  const failures = Array.from({ length: MESSAGES }, () => (chance(0.4) ? 1 + below(2) : 0));

  const answer =
    (outMs: number): PublishAnswer =>
    (messages, call) =>
      scheduler.frame < outMs
        ? isOut(messages, call)
        : chance(0.1)
          ? mishaps(messages, call)
          : confirms(messages, call);
  const letters = fakePublisher((messages, call) => {
    if (scheduler.frame >= lettersOutMs) for (const { value } of messages) reached.add(textOf(value));
    return scheduler.frame < lettersOutMs ? isOut(messages, call) : confirms(messages, call);
  });
  const published = fakePublisher(answer(publisherOutMs));
  const outOf = storeUntil(storeOutMs, storeIsOut);
  const store = fakeStore({ claim: outOf, confirm: outOf, release: outOf });

  const work = (value: unknown): unknown => {
    const messages = leaves(value);
    if (scheduler.frame < outageMs) throw unavailable('out');
    for (const message of messages) {
      const index = Number(message);
      const times = failed.get(message) ?? 0;
      if (poison && index % 7 === 3) throw chance(0.5) ? permanent('poison') : new Error('poison');
      if (times >= (failures[index] as number)) continue;
      failed.set(message, times + 1);
      if (chance(0.3)) return timer(1 + below(5)).pipe(mergeMap(() => raise()));
      throw new Error('once');
    }
    if (slowMs > 0 && chance(0.5)) return timer(1 + below(slowMs)).pipe(map(() => value));
    return value;
  };

  const build = (names: readonly Middle[]): Any => {
    const [name, ...rest] = names;
    if (name === undefined) return end();
    const below_ = (): Any => build(rest);
    if (name === 'branches') return fanOut(below_() as never, below_() as never) as Any;
    const operator = make(name);
    return (source) => source.pipe(operator, below_());
  };
  const make = (name: Middle): Any => {
    switch (name) {
      case 'ordered':
        return ordered({ by: 'key' }) as Any;
      case 'orderedByValue':
        return ordered<unknown, never>({
          by: ({ value }) => leaves(value).length + (Number(leaves(value)[0]) % 3),
        }) as Any;
      case 'retryToDlq':
        return retryToDlq({ deadLetters: letters, maxRetries: 1 + below(3), backoff: () => below(20) }) as Any;
      case 'dedupe':
        return dedupe<unknown, never>({
          key: (value) => leaves(value).map(eventOf).join('+'),
          store,
          leaseMs: 1_000,
        }) as Any;
      case 'batch':
        return batch({ maxSize: 2 + below(8), maxWaitMs: options.maxWaitMs }) as Any;
      case 'split':
        return split((value: unknown) => (Array.isArray(value) ? (value as unknown[]) : [value, value]), {
          maxPartsInFlight: 1 + below(5),
        }) as Any;
      case 'publishTo':
        return publishTo(published, () => ({ value: 'x' })) as Any;
      case 'handle':
        return handle((value: unknown) => (chance(0.5) ? timer(1 + below(5)).pipe(map(() => value)) : value), {
          concurrency,
        }) as Any;
      default:
        return fanOut(
          mapValue((value: unknown) => value) as never,
          mapValue((value: unknown) => value) as never,
        ) as Any;
    }
  };
  const end = (): Any => {
    if (last === 'withOutbox') {
      const handler = (value: unknown): unknown => work(value);
      const outbox = withOutbox(memoryOutboxStore(), handler as never, {
        consumer: 'c',
        group: 1 + below(4),
        key: (value: unknown, { id }: { id: string }) => `${leaves(value).join('+')} ${id}`,
      });
      return (source) =>
        source.pipe(
          outbox as never,
          map((value) => leaves(value).forEach((leaf) => reached.add(leaf))),
        );
    }
    return (source) =>
      source.pipe(
        handle((value: unknown) => work(value), { concurrency }) as never,
        ackEach() as never,
        map((value) => leaves(value).forEach((leaf) => reached.add(leaf))),
      );
  };

  const log = scriptedLog({ maxInFlight, group: 'c', redelivery: () => 1 + below(20), drainTimeoutMs: 500 });
  let completed = false;
  let error: unknown = null;
  const subscription = log.texts.pipe(build(middle)).subscribe({
    error: (reason: unknown) => (error = reason),
    complete: () => (completed = true),
  });
  const advance = (to: number): void => {
    scheduler.maxFrames = to;
    scheduler.flush();
    scheduler.frame = to;
  };
  const message = (index: number) => ({ key: `k${index % keys}`, value: String(index) });
  if (error === null)
    for (let index = 0; index < MESSAGES; index++) {
      log.publish(String(index), message(index));
      if (chance(0.3)) advance(scheduler.frame + below(40));
    }
  if (options.ends) log.end();
  const isOver = (): boolean => error !== null || (options.ends ? completed : log.session.inFlight === 0);
  while (!isOver() && scheduler.frame < options.untilMs) advance(scheduler.frame + 25);
  const endedAt = scheduler.frame;
  const warned = [...new Set(log.eventsOf('misuse').map(({ event }) => event.code))];
  const { inFlight, held, parts } = log.session;
  const ended = isOver() && error === null && inFlight === 0 && held === 0 && parts === 0;
  subscription.unsubscribe();
  advance(scheduler.frame + 2_000);
  const events = new Set([...reached].map(eventOf));
  const lost = Array.from({ length: MESSAGES }, (_, index) => String(index)).filter((m) => !events.has(eventOf(m)));
  return {
    ended,
    refused: error === null ? null : ((error as { code?: string }).code ?? 'an error without a code'),
    warned,
    lost: ended ? lost : [],
    endedAt,
    left: JSON.stringify({ inFlight, held, parts }),
  };
}

function leaves(value: unknown): string[] {
  return Array.isArray(value) ? value.flatMap(leaves) : [value as string];
}

/** The event that a message is a repeat of. */
function eventOf(message: string): string {
  return String(Number(message) % DISTINCT);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : new TextDecoder().decode(value as Uint8Array);
}

function raise(): never {
  throw new Error('late');
}
