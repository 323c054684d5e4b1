import { asyncScheduler, type Subscription } from 'rxjs';
import { exponential } from '../core/backoff.js';
import { SluiceError } from '../core/errors.js';
import { groupCalls } from '../core/grouped-calls.js';
import { rememberFailure } from '../core/last-failure.js';
import type { Message } from '../core/message.js';
import { createOutage } from '../core/outage.js';
import type { Partition } from '../core/partition.js';
import type { Publisher, PublishOutcome } from '../core/publisher.js';
import type { Session } from '../core/session.js';
import { messageInfo, notify } from '../core/telemetry.js';
import { hold, unhold } from '../core/units.js';
import {
  deadLetterMessage,
  hasNoValue,
  smallestOf,
  trimFurther,
  type DeadLetter,
  type DeadLetterFormat,
} from './dead-letter.js';
import { isOfTopic, linkPublisher, type PublisherLink } from './publisher-link.js';

/**
 * What to do with a dead letter that cannot be published, also without its stack, its headers and its key. `'digest'`: size and
 * SHA-256 of the value are published in the place of the value, which is reported; what is refused even so is held. `'hold'`: it
 * stays unsettled, is reported and tried again with backoff, and others go on; `'stop'`: the pipeline ends with an error; `'ack'`:
 * it is given up.
 * @public
 */
export type OnUndeliverable = 'digest' | 'hold' | 'stop' | 'ack';

/** @internal */
export interface DeadLetterQueueOptions {
  readonly publisher: Publisher<Message>;
  readonly format: DeadLetterFormat;
  readonly onUndeliverable: OnUndeliverable;
  /** Ends the pipeline: `onUndeliverable: 'stop'`. */
  readonly stop: (error: SluiceError) => void;
}

/** Publishes dead letters and settles them once that is confirmed (I6). What waits in it is in credit. @internal */
export interface DeadLetterQueue {
  /** Names the source that is to hear that none could be published, before there is one. */
  meet(session: Session): void;
  add(letter: DeadLetter): void;
  drop(partition: Partition): void;
  close(): void;
}

const MAX_BATCH = 500;
const WAIT = { initialMs: 100, maxMs: 30_000 } as const;

/** @internal */
export function createDeadLetterQueue(options: DeadLetterQueueOptions): DeadLetterQueue {
  const { publisher, format, onUndeliverable, stop } = options;
  const trimming = { format, digest: onUndeliverable === 'digest' };
  const backoff = exponential(WAIT);
  const outage = createOutage('the dead-letter publisher');
  let closed = false;
  // Letters that wait by themselves after a refusal.
  const later = new Map<Subscription, DeadLetter>();

  const calls = groupCalls<DeadLetter, PublishOutcome>({
    what: outage,
    maxBatch: MAX_BATCH,
    call: (letters) => link.publish(letters.map((letter) => deadLetterMessage(letter, trimming))),
    answer: (letter, outcome) => {
      if (closed && outcome?.status !== 'ok') letter.delivery.abandon();
      else if (outcome === undefined || outcome.status === 'transient') tryLater(letter);
      else if (outcome.status === 'ok') confirm(letter, true);
      else if (trimmed(letter, 'refused', outcome.error)) calls.add(letter);
      else refuse(letter, outcome.error);
    },
    // Such as a letter for which the broker closes the connection.
    culprit: (letter, error) => {
      if (trimmed(letter, 'failed', error)) return letter;
      refuse(letter, error);
      return undefined;
    },
    // Below `ordered` no two of a key wait here; else they have no order, since one that is refused is overtaken.
    keysOf: () => [],
    ...(trimming.digest ? { standIn: smallestOf } : {}),
    giveUp: ({ delivery }) => delivery.abandon(),
  });

  const link: PublisherLink<Message> = linkPublisher(publisher, () => calls.kick(), outage);

  const confirm = (letter: DeadLetter, published: boolean): void => {
    const { delivery, reason } = letter;
    if (published && hasNoValue(letter)) report(letter);
    notify(delivery.epoch.session, { type: 'dead-lettered', message: messageInfo(delivery), reason, published });
    delivery.settle('dead-lettered');
  };

  const report = ({ delivery, refusedFor }: DeadLetter): void =>
    notify(delivery.epoch.session, { type: 'undeliverable', message: messageInfo(delivery), error: refusedFor });

  const tryLater = (letter: DeadLetter): void => {
    const { epoch } = letter.delivery;
    if (closed || !epoch.live) {
      letter.delivery.abandon();
      return;
    }
    const due = asyncScheduler.schedule(() => {
      later.delete(due);
      unhold(epoch);
      calls.add(letter);
    }, backoff(++letter.refusals));
    later.set(due, letter);
    hold(epoch);
  };

  const trimmed = (letter: DeadLetter, why: 'refused' | 'failed', error: unknown): boolean => {
    letter.refusedFor = error;
    // Whatever is left out, a topic that is not there takes nothing.
    if (isOfTopic(error)) return false;
    return trimFurther(letter, why, trimming);
  };

  const refuse = (letter: DeadLetter, cause: unknown): void => {
    if (onUndeliverable === 'ack') {
      confirm(letter, false);
      return;
    }
    report(letter);
    rememberFailure(letter.delivery, cause);
    if (onUndeliverable !== 'stop') {
      letter.trim = 0;
      tryLater(letter);
      return;
    }
    const message = messageInfo(letter.delivery);
    const text = `The dead letter of ${message.id} was refused for good, and onUndeliverable is 'stop'.`;
    letter.delivery.abandon();
    stop(new SluiceError('undeliverable', text, { cause, details: { ...message } }));
  };

  const takeLater = (matches: (letter: DeadLetter) => boolean): DeadLetter[] => {
    const taken = [...later].filter(([, letter]) => matches(letter));
    for (const [due, { delivery }] of taken) {
      due.unsubscribe();
      later.delete(due);
      unhold(delivery.epoch);
    }
    return taken.map(([, letter]) => letter);
  };

  return {
    meet: (session) => link.meet(session),
    add: (letter) => calls.add(letter),
    // What is being published may settle within the drain.
    drop: (partition) => {
      const isIts = ({ delivery }: DeadLetter): boolean => delivery.epoch === partition;
      for (const { delivery } of [...calls.extract(isIts), ...takeLater(isIts)]) delivery.abandon();
    },
    close: () => {
      closed = true;
      const left = calls.close();
      link.close();
      for (const { delivery } of [...left, ...takeLater(() => true)]) delivery.abandon();
    },
  };
}
