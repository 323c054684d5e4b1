// Kafka → PostgreSQL → outbox → Kafka. On KAFKA_BROKERS and DATABASE_URL, or on servers of its own (Java and Maven).
import { Kafka, logLevel } from 'kafkajs';
import { firstValueFrom, from, lastValueFrom, scan, takeWhile } from 'rxjs';
import { publish } from 'rxsluice';
import { fromKafka, kafkaPublisher } from 'rxsluice/kafka';
import { postgresOutboxStore, postgresSchema } from 'rxsluice/postgres';
import { kafkaTestClient } from '../../spec/servers/kafka-test-client.js';
import { openKafka } from '../../spec/servers/open-kafka.js';
import { openPostgres } from '../../spec/servers/open-postgres.js';
import { postgresTestClient } from '../../spec/servers/postgres-test-client.js';
import { billing, relay, type Tables } from './pipeline.js';

const ORDERS = 1_000;

const [broker, database] = [await openKafka(), await openPostgres()];
const [topics, postgres] = [kafkaTestClient(broker), postgresTestClient(database)];
try {
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema }));
  await postgres.query(`CREATE TABLE ${schema}.invoices (order_id text, customer text, cents int)`);
  const [orders, dlq, invoices] = [
    await topics.createTopic({ prefix: 'orders' }),
    await topics.createTopic({ prefix: 'orders-dlq' }),
    await topics.createTopic({ prefix: 'invoices' }),
  ];
  const kafka = new Kafka({ clientId: 'billing', brokers: [...topics.brokers], logLevel: logLevel.NOTHING });

  // Each order is sent twice.
  const sent = Array.from({ length: 2 * ORDERS }, (_, n) => {
    const customer = `customer-${n % 50}`;
    return { key: customer, value: JSON.stringify({ id: `order-${n % ORDERS}`, customer, cents: 100 + (n % ORDERS) }) };
  });
  await lastValueFrom(publish(kafkaPublisher(kafka, { topic: orders }), sent));

  const store = postgresOutboxStore(postgres.newKysely<Tables>({ max: 10 }).withSchema(schema), { schema });
  const stop = new AbortController();
  const published = lastValueFrom(
    relay(store, (topic) => kafkaPublisher(kafka, { topic }), stop.signal).pipe(
      scan((count) => count + 1, 0),
      takeWhile((count) => count < ORDERS, true),
    ),
  );
  const source = fromKafka(kafka, { groupId: topics.groupId('billing'), topics: [orders], until: 'end' });
  await lastValueFrom(
    billing({ orders: source, store, deadLetters: kafkaPublisher(kafka, { topic: dlq }), invoicesTopic: invoices }),
  );
  await published;
  stop.abort();

  const [row] = await postgres.query<{ invoices: number }>(`SELECT count(*)::int AS invoices FROM ${schema}.invoices`);
  const messages = await topics.readAll(invoices);
  const { rows } = await firstValueFrom(from(store.lag()));
  console.log(
    `${sent.length} messages in, ${row?.invoices} invoices, ${messages.length} messages out, ${rows} left in the outbox`,
  );
  if (row?.invoices !== ORDERS || messages.length < ORDERS) process.exitCode = 1;
} finally {
  await Promise.all([topics.close(), postgres.close()]);
  await Promise.all([broker.stop(), database.stop()]);
}
