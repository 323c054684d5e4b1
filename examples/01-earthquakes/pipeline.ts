import type { Observable } from 'rxjs';
import {
  ackEach,
  decode,
  exponential,
  fromOutbox,
  json,
  ordered,
  publishTo,
  retryToDlq,
  withOutbox,
  type Delivery,
  type FromOutboxOptions,
  type Message,
  type OutboxDelivery,
  type OutboxMessage,
  type Publisher,
} from 'rxsluice';
import type { QuakeDatabase } from './quake-database.js';
import { quakeSchema, type Quake } from './quake.js';

/** What else is to be done about a quake. A rejection is a failure: the message is tried again. */
export type Sink = (quake: Quake, delivery: OutboxDelivery) => Promise<Quake>;

export interface QuakePipelineParts<Tx> {
  /** Any source: `fromMemory(…)`, `fromKafka(…)`. */
  readonly source: Observable<Delivery<Uint8Array | null>>;
  readonly database: QuakeDatabase<Tx>;
  readonly sink: Sink;
  readonly deadLetters: Publisher<Message>;
}

export const CONCURRENCY = 8;
export const ALERT_MAGNITUDE = 4.5;

/** Cold: nothing is read before it is subscribed. Emits each quake once it is stored and acked. */
export function quakePipeline<Tx>({ source, database, sink, deadLetters }: QuakePipelineParts<Tx>): Observable<Quake> {
  return source.pipe(
    // Quakes of one network stay in order, also while one of them is under retry; networks run side by side.
    ordered({ by: 'key' }),
    // What fails below comes again, at most 3 times; what still fails is published raw, with the reason.
    retryToDlq({ maxRetries: 3, backoff: exponential({ initialMs: 20 }), deadLetters }),
    // What the schema refuses is never tried again: it is a dead letter at once.
    decode(json(quakeSchema)),
    // One transaction: the row, the alert, and the event id, so that a repeat is skipped. Committed, then acked.
    withOutbox(
      database.outbox,
      async (quake, { tx, emit, delivery }) => {
        await sink(quake, delivery);
        await database.save(tx, quake);
        const { net, mag } = quake.properties;
        if (mag >= ALERT_MAGNITUDE) emit({ topic: 'alerts', key: net, value: JSON.stringify(quake) });
        return quake;
      },
      { key: (quake) => quake.id, consumer: 'quake-watch', concurrency: CONCURRENCY },
    ),
  );
}

/** Publishes what was emitted: at least once, in the order of each key. Emits each alert once it is published. */
export function alertRelay<Tx>(
  { outbox }: QuakeDatabase<Tx>,
  alerts: Publisher<Message>,
  options?: FromOutboxOptions,
): Observable<OutboxMessage> {
  return fromOutbox(outbox, options).pipe(publishTo(alerts), ackEach());
}
