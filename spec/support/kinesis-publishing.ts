import type { KinesisClientLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import { kinesisPublisher, type KinesisPublisherOptions } from '../../lib/brokers/kinesis/kinesis-publisher.js';
import type { PutFake } from './kinesis-put-fake.js';
import { holdPublisher, type Held } from './publishing.js';

export { numbered, statuses, type Held, type Publishing } from './publishing.js';

/** Connects `kinesisPublisher` over a fake, at once. */
export function hold(
  { client }: { readonly client: KinesisClientLike },
  options: Partial<KinesisPublisherOptions> = {},
): Held {
  return holdPublisher(kinesisPublisher(client, { stream: 'orders', ...options }));
}

/** The values of each request. */
export function requestsOf({ requests }: PutFake): string[] {
  return requests.map(({ records }) => records.map(({ value }) => value).join(' '));
}

/** When each request was begun, and its values. */
export function timesOf({ requests }: PutFake): string[] {
  return requests.map(({ at, records }) => `${at}: ${records.map(({ value }) => value).join(' ')}`);
}

export function storedOf({ stored }: PutFake): string {
  return stored.map(({ value }) => value).join(' ');
}
