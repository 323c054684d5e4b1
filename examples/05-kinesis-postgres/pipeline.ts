import { sql, type Transaction } from 'kysely';
import type { Observable } from 'rxjs';
import {
  decode,
  json,
  ordered,
  retryToDlq,
  withOutbox,
  type Delivery,
  type Message,
  type OutboxStore,
  type Publisher,
} from 'rxsluice';
import { z } from 'zod';

const view = z.object({ id: z.string(), page: z.string() });

export interface Tables {
  page_views: { page: string; views: number };
}

export interface CountingParts {
  readonly views: Observable<Delivery<Uint8Array | null>>;
  readonly store: OutboxStore<Transaction<Tables>>;
  readonly deadLetters: Publisher<Message>;
}

/** Counts the views of each page, each of them once, in as many processes as you like. Emits the ids of the views. */
export function countViews({ views, store, deadLetters }: CountingParts): Observable<string> {
  return views.pipe(
    ordered({ by: 'key' }),
    retryToDlq({ maxRetries: 3, deadLetters, format: 'json' }),
    decode(json(view)),
    withOutbox(
      store,
      async ({ id, page }, { tx }) => {
        await tx
          .insertInto('page_views')
          .values({ page, views: 1 })
          .onConflict((row) => row.column('page').doUpdateSet({ views: sql<number>`page_views.views + 1` }))
          .execute();
        return id;
      },
      { key: ({ id }) => id, group: 32 },
    ),
  );
}
