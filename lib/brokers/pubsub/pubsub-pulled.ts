import { isBytes } from '../../core/is-bytes.js';
import type { PulledHandle } from './pubsub-leases.js';
import type { PubSubArrival } from './pubsub-record.js';

/** What `pull` answers with, as protobuf has it; all of it optional, as there. @internal */
export interface PullResponseLike {
  readonly receivedMessages?: readonly ReceivedMessageLike[] | null;
}

interface ReceivedMessageLike {
  readonly ackId?: string | null;
  readonly deliveryAttempt?: number | null;
  readonly message?: {
    readonly data?: Uint8Array | string | null;
    readonly attributes?: Readonly<Record<string, string>> | null;
    readonly messageId?: string | null;
    readonly orderingKey?: string | null;
    /** Seconds as a number, text or a Long of protobuf.js. */
    readonly publishTime?: { readonly seconds?: { toString(): string } | null; readonly nanos?: number | null } | null;
  } | null;
}

const NOTHING = new Uint8Array();

/** The messages of a pull. @internal */
export function arrivalsOf(
  { receivedMessages }: PullResponseLike,
  receivedAt: number,
  deadlineMs: number,
): PubSubArrival<PulledHandle>[] {
  return (receivedMessages ?? []).map(({ ackId, deliveryAttempt, message }) => ({
    id: message?.messageId ?? '',
    data: isBytes(message?.data) ? message.data : NOTHING,
    attributes: message?.attributes ?? {},
    orderingKey: message?.orderingKey,
    publishedAt:
      Number((message?.publishTime?.seconds ?? 0).toString()) * 1_000 + (message?.publishTime?.nanos ?? 0) / 1_000_000,
    deliveryAttempt: deliveryAttempt ?? 0,
    handle: { ackId: ackId ?? '', receivedAt, halfAt: receivedAt + deadlineMs / 2 },
  }));
}
