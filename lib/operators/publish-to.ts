import { map, of, type Observable, type OperatorFunction } from 'rxjs';
import { giveUpOn } from '../core/at-once.js';
import { isPromiseLike } from '../core/deferred.js';
import type { Delivery } from '../core/delivery.js';
import { isSettled, type DeliveryNode } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { failedAlone } from '../core/failed-alone.js';
import { classifyFailure, permanent, transient } from '../core/failures.js';
import { groupCalls, type Grouped } from '../core/grouped-calls.js';
import { isBytes } from '../core/is-bytes.js';
import { kindOf } from '../core/kind-of.js';
import type { Message, MessageBytes } from '../core/message.js';
import { operate, pass } from '../core/operate.js';
import { checkNames, checkOptions } from '../core/options.js';
import { createOutage } from '../core/outage.js';
import type { Partition } from '../core/partition.js';
import { Pending } from '../core/pending.js';
import type { Position } from '../core/position.js';
import type { Publisher, PublishOutcome } from '../core/publisher.js';
import type { Session } from '../core/session.js';
import type { Taken } from '../core/type-hints.js';
import { isPublisher, linkPublisher } from './publisher-link.js';

/** What bounds the calls of `publishTo`. @public */
export interface PublishToOptions {
  /** The most deliveries whose messages go in one call: a whole number, at least 1. Default: 500. */
  readonly maxBatch?: number;
  /**
   * How many calls may be under way at once: a whole number, at least 1. Above 1 what is published and emitted may overtake, unless
   * `ordered` stands above. Default: 1.
   */
  readonly maxInFlightBatches?: number;
}

interface Item<M> extends Grouped {
  readonly messages: readonly M[];
}

const DEFAULT_MAX_BATCH = 500;

/**
 * Publishes what a function makes of each delivery, and lets the delivery pass, unchanged, once that is confirmed.
 *
 * ```text
 * in         --a--bc---------|
 * published  --a-----(bc)-----     b and c gather while a is under way
 * out        ------a------b--|     c is refused: nacked with the error
 * settled    (by whoever is below, and c)
 * ```
 *
 * The function gives one message, or several, or none (`[]`, which only waits for its turn). A call goes out at once where
 * none is under way, else with all that came meanwhile, at most `maxBatch` deliveries; what waits is in credit. A delivery
 * with a message that was refused is nacked, as permanent where that was for good; its other messages stay published. A
 * function that throws nacks. Bytes of a message are not copied: use a buffer again once the delivery has passed. While the publisher is out everything is held, one call tries with backoff, and no attempt is counted.
 *
 * Delivery: at least once. A crash, an unsubscribe or the loss of the partition between the publish and the ack below publishes
 * the messages again. On a revoke what waits is let go, and what is under way may still pass within the drain (I4).
 * The publisher is connected while the pipeline is subscribed, closed after it.
 * @public
 */
export function publishTo<T, P extends Position, M = Message, D extends Delivery<T, P> = Delivery<T, P>>(
  publisher: Publisher<M>,
  toMessage: (value: T, delivery: D & Delivery<T, P>) => M | readonly M[],
  options?: PublishToOptions,
): OperatorFunction<Taken<D & Delivery<T, P>>, D>;
/** The values are the messages, as those of `fromOutbox` are. @public */
export function publishTo<M, P extends Position, D extends Delivery<M, P> = Delivery<M, P>>(
  publisher: Publisher<M>,
): OperatorFunction<Taken<D & Delivery<M, P>>, D>;
export function publishTo<T, M>(
  publisher: Publisher<M>,
  toMessage: (value: T, delivery: Delivery<T>) => M | readonly M[] = (value) => value as unknown as M,
  options: PublishToOptions = {},
): OperatorFunction<Delivery<T>, Delivery<T>> {
  checkNames('publishTo', options, ['maxBatch', 'maxInFlightBatches']);
  const { maxBatch = DEFAULT_MAX_BATCH, maxInFlightBatches = 1 } = options;
  checkOptions(
    'publishTo',
    { publisher, toMessage, ...options },
    {
      publisher: { required: true, that: { be: 'a publisher, with connect()', holds: isPublisher } },
      toMessage: { required: true, type: 'function' },
      maxBatch: { integer: true, min: 1 },
      maxInFlightBatches: { integer: true, min: 1 },
    },
  );
  const messagesFor = (delivery: DeliveryNode): readonly M[] => {
    const made: unknown = toMessage(delivery.value as T, delivery as unknown as Delivery<T>);
    const messages: readonly unknown[] = Array.isArray(made) ? made : [made];
    if (messages.some(isNoMessage)) throw noMessage(delivery, messages);
    return messages as readonly M[];
  };

  return operate((destination) => {
    let closed = false;
    const pending = new Pending(destination);
    const outage = createOutage('the publisher of publishTo');
    // The one seen last.
    let session: Session | null = null;

    const calls = groupCalls<Item<M>, readonly (PublishOutcome | undefined)[]>({
      what: outage,
      maxBatch,
      maxCalls: maxInFlightBatches,
      call: (items) => {
        // What was lost while the publisher was out is its next owner's to publish.
        const lists = items.map(({ delivery, messages }) => (delivery.epoch.closed ? [] : messages));
        const messages = lists.flat() as readonly M[];
        const outcomes: Observable<readonly PublishOutcome[]> = messages.length === 0 ? of([]) : link.publish(messages);
        return outcomes.pipe(map((all) => outcomesOf(lists, all)));
      },
      answer: (item, outcomes) => {
        settle(item, outcomes ?? item.messages.map(() => undefined));
        pending.remove(item.delivery.epoch);
      },
      culprit: ({ delivery }, error) => {
        if (closed || delivery.epoch.closed) delivery.abandon();
        else delivery.fail(failedAlone('publish-failed', 'publishTo', delivery.id, error), -1);
        pending.remove(delivery.epoch);
        return undefined;
      },
      keysOf,
      giveUp: ({ delivery }) => letGo(delivery),
    });
    const link = linkPublisher(publisher, () => calls.kick(), outage);

    const settle = ({ delivery }: Item<M>, outcomes: readonly (PublishOutcome | undefined)[]): void => {
      const refusal = refusalOf(delivery, outcomes);
      if (closed || delivery.epoch.closed) delivery.abandon();
      else if (refusal !== null) delivery.fail(refusal.reason, -1);
      else if (!isSettled(delivery)) destination.next(delivery);
    };

    const letGo = (delivery: DeliveryNode): void => {
      delivery.abandon();
      pending.remove(delivery.epoch);
    };

    const drop = (partition: Partition): void => {
      for (const { delivery } of calls.extract(({ delivery }) => delivery.epoch === partition)) letGo(delivery);
      if (partition.closed) pending.drop(partition);
    };

    return {
      onRevoke: drop,
      onClose: drop,
      next: (delivery) => {
        if (delivery.epoch.session !== session) {
          session = delivery.epoch.session;
          link.meet(session);
        }
        if (!delivery.epoch.live) {
          delivery.abandon();
          return;
        }
        let messages: readonly M[];
        try {
          messages = messagesFor(delivery);
        } catch (error) {
          delivery.fail(error, -1);
          return;
        }
        if (isSettled(delivery)) return;
        if (messages.length === 0 && pending.isEmpty) {
          pass(destination, delivery);
          return;
        }
        pending.add(delivery.epoch);
        calls.add({ delivery, messages });
      },
      complete: () => pending.complete(),
      teardown: () => {
        closed = true;
        pending.close();
        // What is being published goes on; its answer settles nothing any more.
        for (const { delivery } of calls.close()) delivery.abandon();
        link.close();
      },
    };
  });
}

// Messages of one key keep their order, whichever deliveries they are of.
function keysOf({ delivery, messages }: Item<unknown>): MessageBytes[] {
  const keys = messages.map((message) => {
    try {
      const { key } = message as Message;
      return typeof key === 'string' || isBytes(key) ? key : null;
    } catch {
      return null;
    }
  });
  return [delivery.key, ...keys];
}

// One list for each of messages; `undefined` where there are fewer outcomes than messages.
function outcomesOf(
  lists: readonly (readonly unknown[])[],
  all: readonly PublishOutcome[],
): readonly (readonly (PublishOutcome | undefined)[])[] {
  let next = 0;
  return lists.map((messages) => messages.map(() => all[next++]));
}

// Why a delivery may not pass, or `null`: what is refused for good counts before what may be tried again.
function refusalOf(
  { id }: DeliveryNode,
  outcomes: readonly (PublishOutcome | undefined)[],
): { readonly reason: unknown } | null {
  let refusal: { readonly reason: unknown } | null = null;
  for (const outcome of outcomes) {
    if (outcome?.status === 'permanent') return { reason: marked(outcome.error, 'permanent') };
    if (outcome?.status === 'transient') refusal ??= { reason: marked(outcome.error, 'transient') };
    if (outcome === undefined) refusal ??= { reason: unanswered(id) };
  }
  return refusal;
}

// The outcome says what the failure means, whatever mark the error bears.
function marked(error: unknown, status: 'transient' | 'permanent'): unknown {
  if (classifyFailure(error) === status) return error;
  return status === 'permanent' ? permanent(error) : transient(error);
}

function unanswered(id: string): SluiceError {
  return new SluiceError('publish-failed', `publishTo: the publisher gave no outcome for a message of ${id}.`, {
    details: { id },
  });
}

function isNoMessage(made: unknown): boolean {
  return made === undefined || made === null || (typeof made === 'object' && isPromiseLike(made));
}

function noMessage({ id }: DeliveryNode, made: readonly unknown[]): Error {
  made.forEach(giveUpOn);
  const got = kindOf(made.find(isNoMessage));
  return permanent(
    new SluiceError(
      'publish-failed',
      `publishTo: the function gave no message for ${id}, but ${got}. Give [] to publish none.`,
      {
        details: { id },
      },
    ),
  );
}
