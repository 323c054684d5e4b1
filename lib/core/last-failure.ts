import { messagesOf } from './batch-members.js';
import { briefError } from './brief-error.js';
import type { DeliveryNode } from './delivery-node.js';
import type { Session } from './session.js';

/** What is known of a message that is not settled yet. @internal */
export interface LastFailure {
  readonly times: number;
  /** What a warning may say of the last failure. */
  readonly told: string;
  /** What it waited for without failing; empty where it did not. */
  readonly waitedFor: string;
}

const NOTHING: LastFailure = { times: 0, told: '', waitedFor: '' };
// To find the place in a stack costs far more than the rest. What fails so often is what gets stuck.
const PLACE_FROM = 4;

/** Remembers why a delivery failed, for each of its messages, as long as they are here. @internal */
export function rememberFailure(delivery: DeliveryNode, reason: unknown): void {
  for (const message of messagesOf(delivery)) {
    note(message, (before) => {
      const times = before.times + 1;
      return { ...before, times, told: briefError(reason, times >= PLACE_FROM) };
    });
  }
}

/** Remembers what a delivery waits for, in words. @internal */
export function rememberWait(delivery: DeliveryNode, waitedFor: string): void {
  for (const message of messagesOf(delivery)) note(message, (before) => ({ ...before, waitedFor }));
}

/** What the library knows of why a message is not settled yet, in sentences; `null` where it knows nothing. @internal */
export function whyUnsettled(session: Session, record: unknown): string | null {
  const { times, told, waitedFor } = knownOf(session, record) ?? NOTHING;
  const sentences = [
    ...(times === 0 ? [] : [`It has failed ${times === 1 ? 'once' : `${times} times`}, last failure: ${told}.`]),
    ...(waitedFor === '' ? [] : [`It has waited for ${waitedFor}.`]),
    ...[...session.outages].map((outage) => `${outage}.`),
  ];
  return sentences.length === 0 ? null : sentences.join(' ');
}

function note(message: DeliveryNode, change: (before: LastFailure) => LastFailure): void {
  const { session } = message.epoch;
  const record: unknown = message.root.ref;
  // A record of somebody's own adapter may be anything.
  if (typeof record !== 'object' || record === null) return;
  session.failures.set(record, change(session.failures.get(record) ?? NOTHING));
}

function knownOf(session: Session, record: unknown): LastFailure | undefined {
  return typeof record === 'object' && record !== null ? session.failures.get(record) : undefined;
}
