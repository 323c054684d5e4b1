import { asyncScheduler, defer, type Subscription } from 'rxjs';
import type { Message } from '../../lib/core/message.js';
import type { Publisher, PublisherConnection, PublishOutcome } from '../../lib/core/publisher.js';

/** One call of `publish`, and what came of it. */
export interface Publishing {
  outcomes: readonly PublishOutcome[] | null;
  error: unknown;
  /** When it ended. */
  at: number | null;
  letGo(): void;
}

/** A connection of a publisher. */
export interface Held {
  readonly connection: PublisherConnection | null;
  readonly error: unknown;
  publish(messages: readonly Message[], then?: (publishing: Publishing) => void): Publishing;
  close(): void;
}

/** Connects at once. */
export function holdPublisher(publisher: Publisher): Held {
  let connection: PublisherConnection | null = null;
  let error: unknown = null;
  const holding = publisher
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
