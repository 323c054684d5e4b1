import type { protos } from '@google-cloud/pubsub';

export type PubsubMessage = protos.google.pubsub.v1.IPubsubMessage;

/** Who gets messages: a stream as long as it is open, a pull once. */
export interface Taker {
  /** What it was given and is still leased. */
  messages: number;
  bytes: number;
}

/** The time that a taker has to ack a message. */
export interface Lease {
  readonly ackId: string;
  readonly entry: Entry;
  readonly taker: Taker;
  /** By the fake's clock. */
  deadline: number;
}

/** A message in a subscription. */
export interface Entry {
  readonly message: PubsubMessage;
  readonly id: string;
  readonly bytes: number;
  /** Nacks and deadlines that passed. */
  failures: number;
  acked: boolean;
  lease: Lease | undefined;
  /** Its key's, in a subscription that orders. */
  readonly lane: Lane | undefined;
}

/** The messages of an ordering key. */
export interface Lane {
  readonly key: string;
  readonly entries: Entry[];
  /** Where in `entries` the oldest is that is not acked. */
  head: number;
  /** Where in `entries` the next to be delivered is. */
  next: number;
  /** Who has messages of this key; nobody else gets any meanwhile. */
  owner: Taker | undefined;
  leased: number;
  /** None is delivered before this time; 0 when there is no such time. */
  readyAt: number;
  /** Whether it waits in a queue. */
  queued: boolean;
}
