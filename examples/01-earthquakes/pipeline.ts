import type { Observable } from 'rxjs';
import {
  ackEach,
  decode,
  dedupe,
  exponential,
  handle,
  json,
  ordered,
  retryToDlq,
  type Delivery,
  type Message,
  type Publisher,
} from 'rxsluice';
import { memoryIdempotencyStore } from 'rxsluice/memory';
import { quakeSchema, type Quake } from './quake.js';

/** Where quakes go: your database, your API. A rejection is a failure: the message is tried again. */
export type Sink = (quake: Quake, delivery: Delivery<Quake>) => Promise<Quake>;

export interface QuakePipelineParts {
  /** Any source: `fromMemory(…)`, `fromKafka(…)`. */
  readonly source: Observable<Delivery<Uint8Array | null>>;
  readonly sink: Sink;
  readonly deadLetters: Publisher<Message>;
}

export const CONCURRENCY = 8;

/** Cold: nothing is read before it is subscribed. Emits each quake once it is stored and acked. */
export function quakePipeline({ source, sink, deadLetters }: QuakePipelineParts): Observable<Quake> {
  return source.pipe(
    // Quakes of one network stay in order, also while one of them is under retry; networks run side by side.
    ordered({ by: 'key' }),
    // What fails below comes again, at most 3 times; what still fails is published raw, with the reason.
    retryToDlq({ maxRetries: 3, backoff: exponential({ initialMs: 20 }), deadLetters }),
    // What the schema refuses is never tried again: it is a dead letter at once.
    decode(json(quakeSchema)),
    // The feed repeats itself: each event id is stored once.
    dedupe({ key: (quake) => quake.id, store: memoryIdempotencyStore() }),
    handle(sink, { concurrency: CONCURRENCY }),
    // Only now is the message done, and its position may be committed.
    ackEach(),
  );
}
