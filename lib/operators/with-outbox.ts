import type { OperatorFunction } from 'rxjs';
import { giveUpOn } from '../core/at-once.js';
import { batchOf, type DeliveryNode } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { failedAlone } from '../core/failed-alone.js';
import { permanent } from '../core/failures.js';
import { groupCalls } from '../core/grouped-calls.js';
import { kindOf } from '../core/kind-of.js';
import { operate } from '../core/operate.js';
import { checkNames, checkOptions } from '../core/options.js';
import type { OutboxStore } from '../core/outbox-store.js';
import type { Partition } from '../core/partition.js';
import { Pending } from '../core/pending.js';
import type { Position } from '../core/position.js';
import type { Result, Returned } from '../core/returned.js';
import type { Deliveries } from '../core/type-hints.js';
import type { OutboxAnswer } from './outbox-group.js';
import type { OutboxContext, OutboxDelivery, OutboxSetUp } from './outbox-handler.js';
import { outboxPace } from './outbox-pace.js';
import { runGroup } from './outbox-recovery.js';
import type { OutboxWork, OutboxWorkOptions } from './outbox-work.js';

/** What `withOutbox` takes. @public */
export interface WithOutboxOptions<T, P extends Position = Position, Tx = unknown> {
  /** Who processes: keys are remembered for each consumer apart. Default: the consumer group of the source. */
  readonly consumer?: string;
  /**
   * What makes two messages the same: text that is not empty. Default: `delivery.id`, topic, partition and position, which
   * means that a topic that is made anew needs another `consumer`.
   */
  readonly key?: (value: T, delivery: OutboxDelivery<P>) => string;
  /**
   * Runs before each handler, in the same part of the transaction, with the message and `tx`: for what row-level security asks for, such as
   * `set_config('app.tenant', …, true)` or SET LOCAL ROLE. Its failure is that of the message, and `timeoutMs` is for both. Settings
   * that it makes hold for the next message of a `group` too, which its own `setUp` sets anew. Default: none.
   */
  readonly setUp?: OutboxSetUp<T, Tx, P>;
  /** The most messages in one transaction: a whole number, at least 1. Default: 1. */
  readonly group?: number;
  /** How many transactions may be open at once, each on a connection: a whole number, at least 1. Default: 8. */
  readonly concurrency?: number;
  /** After how many milliseconds a handler is cut off, rolled back and nacked, above 0. Default: never. */
  readonly timeoutMs?: number;
  /** The most messages that one handler may emit: a whole number, at least 1. Default: 1,000. */
  readonly maxEmits?: number;
}

const OWNER = 'withOutbox';

/**
 * Processes each message in a transaction that also remembers its key and stores what it emits: all of it happens, or
 * nothing does. Then acks, and emits the plain result. The end of a pipeline.
 *
 * ```text
 * in        --a--b--a'-c----|      a' repeats a
 * commits   ----A--------C--       handler(b) fails: rolled back, nacked
 * settled   ----A--B--A'-C--       a' is skipped, its handler is not run
 * out       ----x--------z--|      the results of the handlers
 * ```
 *
 * Effectively once, given that all effects go by `tx` and `emit`: after a crash or a rebalance the handler may run again,
 * but only where nothing of the first run is left. What is emitted is published by `fromOutbox`, at least once, each time
 * with the same `message-id`.
 *
 * `group: n` has up to n waiting messages share a transaction: their handlers run one after another, each in a savepoint
 * if it uses `tx`, a failing one rolled back alone. Where the transaction itself fails (a conflict, a lost connection, a
 * time-out) each is run again in one of its own. Inside a handler await nothing but the work of this `tx`: others wait for
 * it, rows stay locked, and what else it does is done again with it. Once a handler has ended its `tx` runs nothing more.
 *
 * A conflict of groups (a deadlock, a serialization failure) narrows them: one at a time, then smaller ones, wider again once that goes
 * well. A conflict with another transaction or a lost connection counts no attempt. While the store is out everything is held, one transaction
 * at a time tries with backoff. On a revoke what waits is let go; what runs may commit within the drain (I4), also on
 * unsubscribe, and is rolled back after that.
 * @public
 */
export function withOutbox<T, Tx, P extends Position, V = never, A = never, B = never, C = never>(
  store: OutboxStore<Tx>,
  handler: (value: T, context: OutboxContext<Tx, P>) => Returned<V, A, B, C>,
  options: WithOutboxOptions<T, P, Tx> = {},
): OperatorFunction<Deliveries<T, P>, Result<V, A, B, C>['of']> {
  checkNames(OWNER, options, ['consumer', 'key', 'setUp', 'group', 'concurrency', 'timeoutMs', 'maxEmits']);
  const { consumer, key, setUp, group = 1, concurrency = 8, timeoutMs = 0, maxEmits = 1_000 } = options;
  checkOptions(
    OWNER,
    { store, handler, ...options },
    {
      store: { required: true, that: { be: 'an outbox store, such as postgresOutboxStore(db)', holds: isStore } },
      handler: { required: true, type: 'function' },
      consumer: { that: { be: 'text that is not empty', holds: (value) => typeof value === 'string' && value !== '' } },
      key: { type: 'function' },
      setUp: { type: 'function' },
      group: { integer: true, min: 1 },
      concurrency: { integer: true, min: 1 },
      timeoutMs: { above: 0, max: 2 ** 31 - 1 },
      maxEmits: { integer: true, min: 1 },
    },
  );
  const groupOptions = {
    store,
    handler: handler as unknown as OutboxWorkOptions['handler'],
    setUp: setUp as unknown as OutboxWorkOptions['setUp'],
    timeoutMs,
    maxEmits,
  };

  const workOf = (delivery: DeliveryNode): OutboxWork => {
    const keyOf = key as ((value: unknown, delivery: DeliveryNode) => unknown) | undefined;
    const made = keyOf === undefined ? delivery.id : keyOf(delivery.value, delivery);
    if (typeof made !== 'string' || made === '') throw invalidKey(delivery, made);
    const owner = consumer ?? delivery.epoch.session.group;
    if (owner === null) throw noConsumer();
    return { delivery, key: made, consumer: owner, losses: 0 };
  };

  return operate((destination) => {
    const pace = outboxPace(group, concurrency);
    const transactions = groupCalls<OutboxWork, OutboxAnswer>({
      what: 'the outbox store',
      get maxBatch() {
        return pace.maxBatch;
      },
      get maxCalls() {
        return pace.maxCalls;
      },
      works: true,
      call: (works) => runGroup(groupOptions, works, pace),
      answer: (work, answer) => {
        settle(work, answer);
        pending.remove(work.delivery.epoch);
      },
      culprit: (work, error) => {
        const { delivery } = work;
        settle(work, { status: 'failed', error: failedAlone('store-failed', OWNER, delivery.id, error) });
        pending.remove(delivery.epoch);
        return undefined;
      },
      giveUp: ({ delivery }) => letGo(delivery),
    });
    let closed = false;
    const pending = new Pending(destination);

    const letGo = (delivery: DeliveryNode): void => {
      delivery.abandon();
      pending.remove(delivery.epoch);
    };

    const settle = (work: OutboxWork, answer: OutboxAnswer | undefined): void => {
      const { delivery } = work;
      switch (answer?.status) {
        case 'done':
          delivery.settle('done');
          if (!closed) destination.next(answer.result);
          return;
        case 'repeat':
          delivery.settle('skipped');
          return;
        case 'failed':
          delivery.fail(answer.error, -1);
          return;
        case 'again':
          if (closed || !delivery.epoch.live) delivery.abandon();
          else add(work);
          return;
        default:
          delivery.abandon();
      }
    };

    const add = (work: OutboxWork): void => {
      pending.add(work.delivery.epoch);
      transactions.add(work);
    };

    const drop = (partition: Partition): void => {
      for (const { delivery } of transactions.extract(({ delivery }) => delivery.epoch === partition)) letGo(delivery);
      if (partition.closed) pending.drop(partition);
    };

    return {
      onRevoke: drop,
      onClose: drop,
      next: (delivery) => {
        if (!delivery.epoch.live) {
          delivery.abandon();
          return;
        }
        const misuse = misuseOf(delivery, consumer);
        if (misuse !== null) {
          destination.error(misuse);
          return;
        }
        try {
          add(workOf(delivery));
        } catch (error) {
          delivery.fail(error, -1);
        }
      },
      complete: () => pending.complete(),
      teardown: () => {
        closed = true;
        pending.close();
        for (const { delivery } of transactions.close()) delivery.abandon();
      },
    };
  });
}

// Built so, a repeat would be taken for something else and be lost.
function misuseOf(delivery: DeliveryNode, consumer: string | undefined): SluiceError | null {
  if (batchOf(delivery) !== null) {
    return new SluiceError(
      'unsupported',
      'withOutbox below batch: a batch has no key of its own, since its members come again in other company. ' +
        'Take the option group instead.',
    );
  }
  if (consumer !== undefined) return null;
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    if (node.op.forks === true && node.op.splits !== true) {
      return new SluiceError(
        'unsupported',
        'withOutbox in a branch of fanOut: all branches have the same messages, so each needs a consumer of its own.',
      );
    }
  }
  return null;
}

function invalidKey({ id }: DeliveryNode, key: unknown): Error {
  giveUpOn(key);
  const got = key === '' ? 'empty text' : kindOf(key);
  return permanent(
    new SluiceError('invalid-key', `withOutbox: the key of ${id} must be text that is not empty, not ${got}.`, {
      details: { id },
    }),
  );
}

function noConsumer(): Error {
  return permanent(
    new SluiceError('invalid-options', 'withOutbox: the source has no consumer group, so consumer must be given.', {
      details: { option: 'consumer' },
    }),
  );
}

function isStore(value: unknown): boolean {
  const { transaction, faultOf } = (value ?? {}) as Partial<OutboxStore>;
  return [transaction, faultOf].every((call) => typeof call === 'function');
}
