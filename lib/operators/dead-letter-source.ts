import type { DeliveryNode } from '../core/delivery-node.js';
import { isBytes } from '../core/is-bytes.js';
import type { HeaderValue, MessageHeaders } from '../core/message.js';

// The latest time that a Date can hold.
const LAST_DATE_MS = 8_640_000_000_000_000;
const MOST_CLAIM_BYTES = 256;

/** By the header that says where a message was read: the one that says where it first came from. */
const ORIGINS: Readonly<Record<string, string>> = {
  'dead-letter-source-topic': 'dead-letter-origin-topic',
  'dead-letter-source-partition': 'dead-letter-origin-partition',
  'dead-letter-source-position': 'dead-letter-origin-position',
  'dead-letter-source-timestamp': 'dead-letter-origin-timestamp',
  'dead-letter-group': 'dead-letter-origin-group',
};
const TOPIC = 'dead-letter-origin-topic';

const OURS: ReadonlySet<string> = new Set([
  ...Object.entries(ORIGINS).flat(),
  'dead-letter-source-key',
  'dead-letter-error-class',
  'dead-letter-error-message',
  'dead-letter-error-causes',
  'dead-letter-error-stack',
  'dead-letter-attempts',
  'dead-letter-first-failure-at',
  'dead-letter-last-failure-at',
  'dead-letter-part',
  'dead-letter-value-bytes',
  'dead-letter-value-sha256',
]);

/**
 * The headers of an original without those that have names of ours: whoever writes to a topic may write these too, so what a dead
 * letter says under such a name is ours alone.
 * @internal
 */
export function withoutOurs(headers: MessageHeaders): MessageHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OURS.has(name)));
}

/** Where this very message was read: true, whatever the message says of itself. @internal */
export function sourceHeaders(delivery: DeliveryNode): MessageHeaders {
  const { topic, partition, session } = delivery.epoch;
  const timestamp = timestampOf(delivery);
  return {
    'dead-letter-source-topic': topic,
    'dead-letter-source-partition': String(partition),
    'dead-letter-source-position': session.shape.positionText(delivery.root.ref),
    ...(timestamp === null ? {} : { 'dead-letter-source-timestamp': timestamp }),
    ...(session.group === null ? {} : { 'dead-letter-group': session.group }),
  };
}

/**
 * Where a message that was a dead letter before says that it first came from: what it says of its origin, else of its source. Nobody
 * can vouch for that, so it has names of its own. Two places are kept at most, however often it is redriven.
 * @internal
 */
export function claimedOrigin(headers: MessageHeaders): MessageHeaders {
  const isOrigin = claimOf(headers[TOPIC]) !== null;
  const claims: [string, HeaderValue][] = [];
  for (const [source, origin] of Object.entries(ORIGINS)) {
    const claim = claimOf(headers[isOrigin ? origin : source]);
    if (claim !== null) claims.push([origin, claim]);
  }
  return claims.some(([name]) => name === TOPIC) ? Object.fromEntries(claims) : {};
}

/** ISO 8601, where it is a time at all; Kafka says -1 where a record has none. @internal */
export function timestampOf({ epoch, root }: DeliveryNode): string | null {
  const timestamp = epoch.session.shape.timestamp(root.ref);
  return timestamp >= 0 && timestamp <= LAST_DATE_MS ? new Date(timestamp).toISOString() : null;
}

/** One value, and as short as each that we write. */
function claimOf(value: MessageHeaders[string]): HeaderValue | null {
  const values = typeof value === 'string' || isBytes(value) ? [value] : (value ?? []);
  const [claim] = values;
  return claim === undefined || values.length > 1 || claim.length > MOST_CLAIM_BYTES ? null : claim;
}
