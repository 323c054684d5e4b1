// Accounts as ordering keys: a failure that is retried overtakes nothing, what is refused becomes a dead letter.
// On a Pub/Sub in this process, or with --emulator on Google's (Java, and its jar).
import { setTimeout as sleep } from 'node:timers/promises';
import { lastValueFrom, tap } from 'rxjs';
import { publish } from 'rxsluice';
import { fromPubSub, pubsubPublisher } from 'rxsluice/pubsub';
import { startPubSub } from '../../spec/servers/pubsub.js';
import { pubsubTestClient } from '../../spec/servers/pubsub-test-client.js';
import { bookMovements } from './pipeline.js';

const ACCOUNTS = 10;
const MOVEMENTS = 50;

process.env['METADATA_SERVER_DETECTION'] = 'none';
const server = await startPubSub(process.argv.includes('--emulator') ? 'emulator' : 'fake');
const service = pubsubTestClient(server);
try {
  const [topic, dlq] = [await service.createTopic('movements'), await service.createTopic('movements-dlq')];
  const subscription = await service.createSubscription(topic, { enableMessageOrdering: true });
  const letters = await service.createSubscription(dlq);
  const pubsub = service.newPubSub();

  // One message that nobody can read, in the middle.
  const messages = Array.from({ length: ACCOUNTS * MOVEMENTS }, (_, n) => ({
    key: `account-${n % ACCOUNTS}`,
    value: JSON.stringify({ account: `account-${n % ACCOUNTS}`, amount: Math.floor(n / ACCOUNTS) }),
  }));
  messages.splice(250, 0, { key: 'account-0', value: '{' });
  await lastValueFrom(publish(pubsubPublisher(pubsub, { topic }), messages));

  const booked = new Map<string, number[]>();
  let tries = 0;
  const book = async ({ account, amount }: { account: string; amount: number }): Promise<void> => {
    await sleep(1);
    if (++tries % 10 === 0) throw new Error('the ledger is busy');
    booked.set(account, [...(booked.get(account) ?? []), amount]);
  };
  const stop = new AbortController();
  let done = 0;
  await lastValueFrom(
    bookMovements({
      movements: fromPubSub(pubsub.subscription(subscription), { stop: stop.signal }),
      deadLetters: pubsubPublisher(pubsub, { topic: dlq }),
      book,
    }).pipe(tap(() => ++done === ACCOUNTS * MOVEMENTS && stop.abort())),
  );

  const inOrder = [...booked.values()].filter((amounts) => amounts.every((amount, n) => amount === n));
  const [letter] = await service.take(letters, 1);
  console.log(`${done} movements of ${booked.size} accounts booked, ${inOrder.length} accounts in order`);
  console.log(`dead letter of ${letter?.attributes['dead-letter-source-topic'] === topic ? 'the topic' : 'elsewhere'}`);
  if (inOrder.length !== ACCOUNTS) process.exitCode = 1;
} finally {
  await service.close();
  await server.stop();
}
