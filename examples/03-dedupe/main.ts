// Payments over an API that knows no idempotency keys: each order is charged once. On DATABASE_URL, or a server of its own.
import { lastValueFrom, toArray } from 'rxjs';
import { ackEach, decode, dedupe, handle, json, ordered, publish, retryToDlq } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { postgresIdempotencyStore, postgresSchema } from 'rxsluice/postgres';
import { z } from 'zod';
import { openPostgres } from '../../spec/servers/open-postgres.js';
import { postgresTestClient } from '../../spec/servers/postgres-test-client.js';

const order = z.object({ id: z.string(), cents: z.number() });
const ORDERS = 500;

const database = await openPostgres();
const postgres = postgresTestClient(database);
try {
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema, tables: ['processedEvents'] }));
  const broker = memoryBroker({ topics: { orders: { partitions: 4 }, 'orders-dlq': {} } });
  const messages = Array.from({ length: 3 * ORDERS }, (_, n) => ({
    key: `customer-${n % 20}`,
    value: JSON.stringify({ id: `order-${n % ORDERS}`, cents: 100 }),
  }));
  await lastValueFrom(publish(memoryPublisher(broker, { topic: 'orders' }), messages));

  let calls = 0;
  const charge = async (id: string): Promise<string> => {
    // Every tenth call fails before it charges anybody.
    if (++calls % 10 === 0) throw new Error('connection reset');
    return Promise.resolve(id);
  };

  const charged = await lastValueFrom(
    fromMemory(broker, { groupId: 'payments', topics: ['orders'], until: 'end' }).pipe(
      ordered({ by: 'key' }),
      retryToDlq({ maxRetries: 5, deadLetters: memoryPublisher(broker, { topic: 'orders-dlq' }) }),
      decode(json(order)),
      // Claimed before the charge, confirmed after it; a charge that failed gives its claim back.
      dedupe({
        key: ({ id }) => id,
        store: postgresIdempotencyStore(postgres.newPool(), { schema, consumer: 'payments' }),
      }),
      handle(({ id }) => charge(id), { concurrency: 16 }),
      ackEach(),
      toArray(),
    ),
  );
  console.log(
    `${messages.length} messages in, ${charged.length} orders charged, ${new Set(charged).size} different ones`,
  );
  if (charged.length !== ORDERS || new Set(charged).size !== ORDERS) process.exitCode = 1;
} finally {
  await postgres.close();
  await database.stop();
}
