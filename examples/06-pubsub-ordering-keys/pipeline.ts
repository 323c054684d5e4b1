import { ackEach, decode, handle, json, ordered, retryToDlq } from 'rxsluice';
import type { Delivery, Message, Publisher } from 'rxsluice';
import type { Observable } from 'rxjs';
import { z } from 'zod';

const movement = z.object({ account: z.string(), amount: z.number() });

export type Movement = z.infer<typeof movement>;

export interface BookingParts {
  readonly movements: Observable<Delivery<Uint8Array | null>>;
  readonly deadLetters: Publisher<Message>;
  readonly book: (movement: Movement) => Promise<unknown>;
}

/** Books the movements of each account one after the other, those of many accounts at once. */
export function bookMovements({ movements, deadLetters, book }: BookingParts): Observable<unknown> {
  return movements.pipe(
    ordered({ by: 'key' }),
    retryToDlq({ maxRetries: 3, deadLetters }),
    decode(json(movement)),
    handle(book, { concurrency: 64 }),
    ackEach(),
  );
}
