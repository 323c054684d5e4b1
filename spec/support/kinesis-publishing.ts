import { asyncScheduler, defer, type Subscription } from 'rxjs';
import type { KinesisClientLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import { kinesisPublisher, type KinesisPublisherOptions } from '../../lib/brokers/kinesis/kinesis-publisher.js';
import type { Message } from '../../lib/core/message.js';
import type { PublisherConnection, PublishOutcome } from '../../lib/core/publisher.js';
import type { PutFake } from './kinesis-put-fake.js';

/** One call of `publish`, and what came of it. */
export interface Publishing {
  outcomes: readonly PublishOutcome[] | null;
  error: unknown;
  /** When it ended. */
  at: number | null;
  letGo(): void;
}

/** A connection of `kinesisPublisher` over a fake. */
export interface Held {
  readonly connection: PublisherConnection | null;
  readonly error: unknown;
  publish(messages: readonly Message[], then?: (publishing: Publishing) => void): Publishing;
  close(): void;
}

/** Connects at once. */
export function hold(
  { client }: { readonly client: KinesisClientLike },
  options: Partial<KinesisPublisherOptions> = {},
): Held {
  let connection: PublisherConnection | null = null;
  let error: unknown = null;
  const holding = kinesisPublisher(client, { stream: 'orders', ...options })
    .connect()
    .subscribe({ next: (made) => (connection = made), error: (caught: unknown) => (error = caught) });
  return {
    get connection() {
      return connection;
    },
    get error() {
      return error;
    },
    publish: (messages, then = () => undefined) =>
      publishOver(connection as unknown as PublisherConnection, messages, then),
    close: () => holding.unsubscribe(),
  };
}

function publishOver(
  connection: PublisherConnection,
  messages: readonly Message[],
  then: (publishing: Publishing) => void,
): Publishing {
  const publishing: Publishing = { outcomes: null, error: null, at: null, letGo: () => calling?.unsubscribe() };
  const end = (): void => {
    publishing.at = asyncScheduler.now();
    then(publishing);
  };
  const calling: Subscription | null = defer(() => connection.publish(messages)).subscribe({
    next: (outcomes) => (publishing.outcomes = outcomes),
    error: (caught: unknown) => {
      publishing.error = caught;
      end();
    },
    complete: end,
  });
  return publishing;
}

/** `a1 a2 b1`: messages of the keys a and b. */
export function numbered(text: string): Message[] {
  return text.split(' ').map((value) => ({ key: value.slice(0, 1), value }));
}

export function statuses({ outcomes }: Publishing): string {
  return (outcomes ?? []).map(({ status }) => status).join(' ');
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
