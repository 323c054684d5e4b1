import type { protos } from '@google-cloud/pubsub';
import type { Taker } from './entry.js';
import type { FakeStatus } from './status.js';
import type { FakeSubscription } from './subscription.js';

type ReceivedMessage = protos.google.pubsub.v1.IReceivedMessage;
type StreamingPullResponse = protos.google.pubsub.v1.IStreamingPullResponse;

/** A stream, as the dispatcher sees it. */
export interface OpenStream {
  readonly taker: Taker;
  readonly maxMessages: number;
  readonly maxBytes: number;
  deadlineSeconds: number;
  /** Sends an answer; calls back when the connection has taken it. */
  send(response: StreamingPullResponse, sent: () => void): void;
  end(status: FakeStatus): void;
}

/** A pull that waits for a message. */
interface WaitingPull {
  readonly maxMessages: number;
  /** Whether it waits where there is nothing; only for so long, as the service. */
  readonly isPatient: boolean;
  readonly answer: (messages: readonly ReceivedMessage[]) => void;
  readonly refuse: (status: FakeStatus) => void;
}

/** Who takes from a subscription. */
export interface Dispatcher {
  readonly streams: ReadonlySet<OpenStream>;
  /** Begins to give to a stream; returns what ends that. */
  open(stream: OpenStream): () => void;
  /** Gives to a pull as soon as there is something; returns what ends the wait. */
  wait(pull: WaitingPull): () => void;
  /** Ends all streams and pulls. */
  end(status: FakeStatus): void;
}

const BATCH_MESSAGES = 500;
const BATCH_BYTES = 1_000_000;
// What is written but not taken by the connection; beyond it the client is one that does not read.
const UNSENT_ANSWERS = 4;
const PATIENCE_MS = 20_000;

export function dispatcher(subscription: FakeSubscription): Dispatcher {
  const { config } = subscription;
  const streams = new Set<OpenStream>();
  const unsent = new Map<OpenStream, number>();
  const pulls = new Set<WaitingPull>();
  const subscriptionProperties = {
    exactlyOnceDeliveryEnabled: config.enableExactlyOnceDelivery === true,
    messageOrderingEnabled: config.enableMessageOrdering === true,
  };
  let planned = false;

  const giveToStream = (stream: OpenStream): boolean => {
    const { taker, maxMessages, maxBytes, deadlineSeconds } = stream;
    const waiting = unsent.get(stream) ?? 0;
    const messages = Math.min(maxMessages - taker.messages, BATCH_MESSAGES);
    const bytes = Math.min(maxBytes - taker.bytes, BATCH_BYTES);
    if (waiting >= UNSENT_ANSWERS || messages <= 0 || bytes <= 0) return false;
    const receivedMessages = subscription.deliver(taker, { messages, bytes, deadlineSeconds });
    if (receivedMessages.length === 0) return false;
    unsent.set(stream, waiting + 1);
    stream.send({ receivedMessages, subscriptionProperties }, () => {
      const left = (unsent.get(stream) ?? 0) - 1;
      if (streams.has(stream)) unsent.set(stream, left);
      if (left === UNSENT_ANSWERS - 1) plan();
    });
    return true;
  };
  const giveToPull = (pull: WaitingPull): boolean => {
    const taker = { messages: 0, bytes: 0 };
    const deadlineSeconds = config.ackDeadlineSeconds ?? 0;
    const limit = { messages: pull.maxMessages, bytes: BATCH_BYTES, deadlineSeconds };
    const messages = subscription.deliver(taker, limit);
    subscription.forget(taker);
    if (messages.length === 0 && pull.isPatient) return false;
    pull.answer(messages);
    return messages.length > 0;
  };
  const give = (): void => {
    planned = false;
    for (let given = true; given;) {
      given = false;
      for (const pull of pulls) given = giveToPull(pull) || given;
      for (const stream of streams) {
        if (!giveToStream(stream)) continue;
        given = true;
        // The next turn begins with another stream.
        streams.delete(stream);
        streams.add(stream);
        break;
      }
    }
  };
  /** What comes in one turn of the loop goes out in one answer. */
  const plan = (): void => {
    if (planned || (streams.size === 0 && pulls.size === 0)) return;
    planned = true;
    setImmediate(give);
  };
  subscription.onReady(plan);

  return {
    streams,
    open: (stream) => {
      streams.add(stream);
      plan();
      return () => {
        streams.delete(stream);
        unsent.delete(stream);
        subscription.forget(stream.taker);
      };
    },
    wait: (pull) => {
      const timer = setTimeout(() => waiting.answer([]), PATIENCE_MS).unref();
      const waiting: WaitingPull = {
        ...pull,
        answer: (messages) => {
          end();
          pull.answer(messages);
        },
        refuse: (status) => {
          end();
          pull.refuse(status);
        },
      };
      const end = (): void => {
        clearTimeout(timer);
        pulls.delete(waiting);
      };
      pulls.add(waiting);
      plan();
      return end;
    },
    end: (status) => {
      for (const stream of [...streams]) stream.end(status);
      for (const pull of [...pulls]) pull.refuse(status);
    },
  };
}
