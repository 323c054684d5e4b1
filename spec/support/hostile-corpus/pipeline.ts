import { of, type Observable } from 'rxjs';
import { z } from 'zod';
import {
  ackEach,
  constant,
  decode,
  handle,
  json,
  ordered,
  retryToDlq,
  type DeadLetterFormat,
  type Delivery,
  type Message,
  type Publisher,
} from '../../../lib/index.js';
import { DEEDS } from './deeds.js';

const order = z.union([
  z.literal(0),
  z.looseObject({ id: z.string(), cents: z.number(), deed: z.string().optional() }),
]);
type Order = z.infer<typeof order>;

const TIMEOUT_MS = 500;

/** A pipeline as the README has it, whose handler does what the message says. */
export function pipeline(
  source: Observable<Delivery<Uint8Array | null>>,
  deadLetters: Publisher<Message>,
  format: DeadLetterFormat,
): Observable<unknown> {
  const tries = new Map<string, number>();
  const work = (value: Order, delivery: Delivery<Order>): unknown => {
    if (value === 0) return value;
    // The name of a message does not matter.
    for (const name of Object.keys(delivery.headers)) void delivery.headers[name];
    if (value.deed !== undefined) {
      const tried = (tries.get(delivery.id) ?? 0) + 1;
      tries.set(delivery.id, tried);
      return DEEDS.get(value.deed)?.(delivery, tried);
    }
    if (value.id.endsWith('1')) return Promise.resolve(value);
    return value.id.endsWith('2') ? of(value) : value;
  };
  return source.pipe(
    ordered({ by: 'key' }),
    retryToDlq({ deadLetters, format, maxRetries: 1, backoff: constant(1) }),
    decode(json(order)),
    handle(work, { concurrency: 64, timeoutMs: TIMEOUT_MS }),
    ackEach(),
  );
}
