import { asyncScheduler, type OperatorFunction, type Subscription } from 'rxjs';
import { giveUpOn } from '../core/at-once.js';
import { exponential } from '../core/backoff.js';
import type { Delivery } from '../core/delivery.js';
import { DeliveryNode, isSettled, type SettlementHook } from '../core/delivery-node.js';
import { environment } from '../core/environment.js';
import { SluiceError } from '../core/errors.js';
import { failedAlone } from '../core/failed-alone.js';
import { permanent } from '../core/failures.js';
import { groupCalls, type Grouped } from '../core/grouped-calls.js';
import type { Claim, HeldClaim, IdempotencyStore } from '../core/idempotency-store.js';
import { rememberWait } from '../core/last-failure.js';
import { tellHeldBack } from '../core/held-back.js';
import { kindOf } from '../core/kind-of.js';
import { operate } from '../core/operate.js';
import { checkNames, checkOptions, LONGEST_TIMER_MS } from '../core/options.js';
import { tellSlotListeners, type Partition } from '../core/partition.js';
import { Pending } from '../core/pending.js';
import type { Position } from '../core/position.js';
import { messageInfo, notify } from '../core/telemetry.js';
import type { Deliveries } from '../core/type-hints.js';
import { hold, unhold } from '../core/units.js';
import { createClaimBook } from './claim-book.js';
import { claimsAbove, warnOfSameKey, warnOfWaitInWait } from './claims-above.js';

/** What `dedupe` takes. @public */
export interface DedupeOptions<T, P extends Position = Position> {
  /** What makes two messages the same: text that is not empty. */
  readonly key: (value: T, delivery: Delivery<T, P>) => string;
  /** Remembers what was processed. */
  readonly store: IdempotencyStore;
  /**
   * How long a claim holds without being renewed, in milliseconds, at least 100; it is renewed at a third of that while the message
   * is unsettled. After a crash a message waits so long at most. Default: 60,000.
   */
  readonly leaseMs?: number;
}

interface Request extends Grouped {
  readonly key: string;
  /** How often it was found claimed by another. */
  readonly waits: number;
  /** When it was first. */
  readonly since: number | null;
}

const MAX_BATCH = 1_000;

/**
 * Lets each key through once; a repeat of a processed message is settled as skipped.
 *
 * ```text
 * in       --a--b--a'-|      a' repeats a, which is processed
 * settled  ----A--B--A'-     a' is skipped here
 * out      --a--b-----|
 * ```
 *
 * Claims the key on the way down, confirms it on ack before the ack goes up, releases it on nack and wherever the message was
 * not `done`, so that a failed first try or a redriven dead letter is not swallowed. While another holds the key the
 * delivery is parked and no attempt is counted. A store that is out holds everything and counts nothing.
 *
 * Below another `dedupe` give it keys of its own. What has this very claim already passes, with a warning; a message that has another claim
 * of this store and waits `leaseMs` is let go, with a warning, and comes again: its claims may be waited for in turn.
 *
 * A crash after the handler and before the confirm runs the handler again once the claim lapses; a crash between confirm
 * and commit does not. On a revoke or an unsubscribe claims are given back.
 * @public
 */
export function dedupe<T, P extends Position>(
  options: DedupeOptions<T, P>,
): OperatorFunction<Deliveries<T, P>, Delivery<T, P>> {
  checkNames('dedupe', options, ['key', 'store', 'leaseMs']);
  const { store, leaseMs = 60_000 } = options;
  checkOptions(
    'dedupe',
    { ...options },
    {
      key: { required: true, type: 'function' },
      store: { required: true, that: { be: 'an idempotency store, such as memoryIdempotencyStore()', holds: isStore } },
      leaseMs: { min: 100, max: LONGEST_TIMER_MS },
    },
  );
  const keyOf = options.key as unknown as (value: unknown, delivery: DeliveryNode) => unknown;
  const heldBackoff = exponential({ initialMs: 20, maxMs: 1_000, jitter: 'none' });

  return operate((destination) => {
    const book = createClaimBook(store, leaseMs);
    let closed = false;
    let warned = false;
    const pending = new Pending(destination);
    // Requests whose key another holds, by the timer that asks again.
    const parked = new Map<Subscription, Request>();

    const claims = groupCalls<Request, Claim>({
      what: 'the idempotency store',
      maxBatch: MAX_BATCH,
      alternates: true,
      call: (requests) =>
        store.claim(
          requests.map(({ key }) => key),
          leaseMs,
        ),
      answer: (request, claim) => {
        const { delivery, key } = request;
        if (closed || isSettled(delivery) || !delivery.epoch.live) {
          if (claim?.status === 'claimed') book.giveBack(delivery.epoch.session, { key, token: claim.token });
          delivery.abandon();
        } else if (claim === undefined) {
          delivery.fail(new SluiceError('store-failed', 'The idempotency store gave no answer for this key.'), -1);
        } else if (claim.status === 'claimed') {
          pass(delivery, { key, token: claim.token });
        } else if (claim.status === 'done') {
          delivery.settle('skipped');
        } else if (!endsTheWait(request)) {
          park(request);
          return;
        }
        pending.remove(delivery.epoch);
      },
      culprit: ({ delivery }, error) => {
        if (closed || isSettled(delivery) || !delivery.epoch.live) delivery.abandon();
        else delivery.fail(failedAlone('store-failed', 'dedupe', delivery.id, error), -1);
        pending.remove(delivery.epoch);
        return undefined;
      },
      giveUp: ({ delivery }) => letGo(delivery),
    });

    const letGo = (delivery: DeliveryNode): void => {
      delivery.abandon();
      pending.remove(delivery.epoch);
    };

    const pass = (delivery: DeliveryNode, claim: HeldClaim): void => {
      const { value, attempt, epoch } = delivery;
      const child = new DeliveryNode(value, attempt, delivery, hook, 0, epoch, claim);
      book.open(child);
      destination.next(child);
    };

    // It waits for a claim that it may have itself, or for one whose holder waits for what it has: neither would ever end.
    const endsTheWait = ({ delivery, key, since }: Request): boolean => {
      const { isItself, isWaitedFor } = claimsAbove(delivery, key, store);
      if (isItself) {
        warned ||= (warnOfSameKey(delivery), true);
        destination.next(delivery);
        return true;
      }
      if (!isWaitedFor || since === null || environment.now() - since < leaseMs) return false;
      warnOfWaitInWait(delivery, leaseMs);
      delivery.abandon();
      return true;
    };

    const park = ({ delivery, key, waits, since: first }: Request): void => {
      const since = first ?? environment.now();
      const { epoch } = delivery;
      if (epoch.session.telemetry !== null) {
        notify(epoch.session, { type: 'parked', message: messageInfo(delivery), because: 'claimed' });
      }
      if (closed) {
        letGo(delivery);
        return;
      }
      rememberWait(delivery, 'a claim on its key, which another message or consumer has');
      tellHeldBack(delivery);
      if (epoch.slotListeners !== null) tellSlotListeners(epoch, delivery.root.slot, 'waits');
      const again = asyncScheduler.schedule(
        () => {
          parked.delete(again);
          unhold(epoch, 1, 1);
          claims.add({ delivery, key, waits: waits + 1, since });
        },
        heldBackoff(waits + 1),
      );
      parked.set(again, { delivery, key, waits, since });
      hold(epoch, 1, 1);
    };

    const takeParked = (matches: (request: Request) => boolean): Request[] => {
      const taken = [...parked].filter(([, request]) => matches(request));
      for (const [again, { delivery }] of taken) {
        again.unsubscribe();
        parked.delete(again);
        unhold(delivery.epoch, 1, 1);
      }
      return taken.map(([, request]) => request);
    };

    const hook: SettlementHook = {
      claims: store,
      onAck: (child, outcome) => book.end(child, outcome === 'done', () => (child.up as DeliveryNode).settle(outcome)),
      onNack: (child, reason, delayMs) =>
        book.end(child, false, () => (child.up as DeliveryNode).fail(reason, delayMs)),
      onAbandon: (child) => {
        book.abandon(child);
        (child.up as DeliveryNode).abandon();
      },
    };

    const drop = (partition: Partition): void => {
      const isIts = ({ delivery }: Request): boolean => delivery.epoch === partition;
      for (const { delivery } of [...claims.extract(isIts), ...takeParked(isIts)]) letGo(delivery);
      if (!partition.closed) return;
      book.drop(partition);
      pending.drop(partition);
    };

    return {
      onRevoke: drop,
      onClose: drop,
      next: (delivery) => {
        if (!delivery.epoch.live) {
          delivery.abandon();
          return;
        }
        let key: unknown;
        try {
          key = keyOf(delivery.value, delivery);
          if (typeof key !== 'string' || key === '') throw invalidKey(delivery, key);
        } catch (error) {
          delivery.fail(error, -1);
          return;
        }
        pending.add(delivery.epoch);
        claims.add({ delivery, key, waits: 0, since: null });
      },
      complete: () => pending.complete(),
      teardown: () => {
        closed = true;
        pending.close();
        // A claim that is being made is not cut off: its answer says what to give back.
        for (const { delivery } of [...claims.close(), ...takeParked(() => true)]) delivery.abandon();
        book.close();
      },
    };
  });
}

function invalidKey({ id }: DeliveryNode, key: unknown): Error {
  giveUpOn(key);
  const got = key === '' ? 'empty text' : kindOf(key);
  return permanent(
    new SluiceError('invalid-key', `dedupe: the key of ${id} must be text that is not empty, not ${got}.`, {
      details: { id },
    }),
  );
}

function isStore(value: unknown): boolean {
  const { claim, renew, confirm, release } = (value ?? {}) as Partial<IdempotencyStore>;
  return [claim, renew, confirm, release].every((call) => typeof call === 'function');
}
