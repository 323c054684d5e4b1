import type { Transaction } from 'kysely';
import type { Observable } from 'rxjs';
import {
  ackEach,
  decode,
  fromOutbox,
  json,
  ordered,
  publishTo,
  retryToDlq,
  topicPublisher,
  withOutbox,
  type Delivery,
  type Message,
  type OutboxMessage,
  type OutboxStore,
  type Publisher,
} from 'rxsluice';
import { z } from 'zod';

const order = z.object({ id: z.string(), customer: z.string(), cents: z.number().int().positive() });

export interface Tables {
  invoices: { order_id: string; customer: string; cents: number };
}

export interface BillingParts {
  readonly orders: Observable<Delivery<Uint8Array | null>>;
  readonly store: OutboxStore<Transaction<Tables>>;
  readonly deadLetters: Publisher<Message>;
  readonly invoicesTopic: string;
}

/** Orders in; an invoice and a message about it, both or neither, once for each order. Emits the ids of the orders. */
export function billing({ orders, store, deadLetters, invoicesTopic }: BillingParts): Observable<string> {
  return orders.pipe(
    ordered({ by: 'key' }),
    retryToDlq({ maxRetries: 3, deadLetters }),
    decode(json(order)),
    withOutbox(
      store,
      async ({ id, customer, cents }, { tx, emit }) => {
        await tx.insertInto('invoices').values({ order_id: id, customer, cents }).execute();
        emit({ topic: invoicesTopic, key: customer, value: JSON.stringify({ order: id, cents }) });
        return id;
      },
      // The producer may have sent an order twice: its id says so, its offset does not.
      { key: ({ id }) => id, group: 32 },
    ),
  );
}

/** Publishes what `billing` emitted, in as many processes as you like. */
export function relay(
  store: OutboxStore,
  publisherOf: (topic: string) => Publisher<Message>,
  stop: AbortSignal,
): Observable<OutboxMessage> {
  return fromOutbox(store, { stop }).pipe(publishTo(topicPublisher(publisherOf)), ackEach());
}
