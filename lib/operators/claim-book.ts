import { asyncScheduler, defer as deferred, from, map, tap, type ObservableInput, type Subscription } from 'rxjs';
import type { DeliveryNode } from '../core/delivery-node.js';
import { groupCalls, type Grouped } from '../core/grouped-calls.js';
import type { HeldClaim, IdempotencyStore } from '../core/idempotency-store.js';
import { linger } from '../core/linger.js';
import { onEpochClose, type Partition } from '../core/partition.js';
import { defer } from '../core/pump.js';
import type { PumpTask, Session } from '../core/session.js';
import { messageInfo, notify } from '../core/telemetry.js';

/** The claims that one `dedupe` holds: renewed while open, ended before the settlement goes up. @internal */
export interface ClaimBook {
  /** The child, whose `ref` is its claim, is on its way down. */
  open(child: DeliveryNode): void;
  /** Confirms or releases, then goes on: however long the store takes. */
  end(child: DeliveryNode, confirm: boolean, then: () => void): void;
  /** Lets go of a child: its claim is given back in passing. */
  abandon(child: DeliveryNode): void;
  giveBack(session: Session, claim: HeldClaim): void;
  /** Lets go of all children of a closed epoch. */
  drop(partition: Partition): void;
  close(): void;
}

interface Ending extends Grouped {
  readonly then: () => void;
}

const MAX_BATCH = 1_000;
const RENEWALS_A_LEASE = 3;
const WHAT = 'the idempotency store';

/** @internal */
export function createClaimBook(store: IdempotencyStore, leaseMs: number): ClaimBook {
  const open = new Set<DeliveryNode>();
  let closed = false;
  const orphans = new Map<Session, HeldClaim[]>();
  let timer: Subscription | null = null;
  let call: Subscription | null = null;

  const endings = (confirm: boolean) =>
    groupCalls<Ending, unknown>({
      what: WHAT,
      maxBatch: MAX_BATCH,
      alternates: true,
      call: (items) => {
        const claims = items.map(({ delivery }) => claimOf(delivery));
        return confirm ? store.confirm(claims) : from(store.release(claims)).pipe(map(() => []));
      },
      answer: ({ delivery, then }, answer) => {
        open.delete(delivery);
        if (confirm && answer === false) lost(delivery);
        then();
      },
      // The work is done, and its claim will lapse: a repeat may be processed again.
      culprit: ({ delivery, then }) => {
        open.delete(delivery);
        if (confirm) lost(delivery);
        then();
        return undefined;
      },
      giveUp: ({ delivery }) => delivery.up?.abandon(),
    });
  const confirms = endings(true);
  const releases = endings(false);

  const lost = (child: DeliveryNode): void =>
    notify(child.epoch.session, { type: 'claim-lost', message: messageInfo(child) });

  const renew = (): void => {
    const children = [...open];
    call = deferred(() => store.renew(children.map(claimOf), leaseMs)).subscribe({
      next: (answers: readonly boolean[] | undefined) => {
        children.forEach((child, index) => {
          // One that is settled may be confirmed already; its confirm says what became of it.
          if (answers?.[index] === false && child.settled === 0 && open.delete(child)) lost(child);
        });
      },
      // Out: the next round tries again, and a lapsed claim is found at the confirm.
      error: () => undefined,
    });
  };

  const renewLater = (): void => {
    timer ??= asyncScheduler.schedule(() => {
      timer = null;
      call?.unsubscribe();
      if (open.size === 0) return;
      renew();
      renewLater();
    }, leaseMs / RENEWALS_A_LEASE);
  };

  // Torn down, the epochs are still open in the background: one try each, and the close waits for it.
  const endInBackground = (items: readonly Ending[], confirm: boolean): void => {
    for (const session of new Set(items.map(({ delivery }) => delivery.epoch.session))) {
      const its = items.filter(({ delivery }) => delivery.epoch.session === session);
      for (const { delivery } of its) open.delete(delivery);
      const claims = its.map(({ delivery }) => claimOf(delivery));
      const call = deferred((): ObservableInput<unknown> => (confirm ? store.confirm(claims) : store.release(claims)));
      linger(
        session,
        call.pipe(
          tap({
            next: (answers) => {
              if (!confirm || !Array.isArray(answers)) return;
              its.forEach(({ delivery }, index) => answers[index] === false && lost(delivery));
            },
            complete: () => its.forEach(({ then }) => then()),
            error: () => its.forEach(({ delivery }) => delivery.up?.abandon()),
          }),
        ),
      );
    }
  };

  const giveBackAll: PumpTask = {
    queued: false,
    run: () => {
      for (const [session, claims] of orphans)
        linger(
          session,
          deferred(() => store.release(claims)),
        );
      orphans.clear();
    },
  };

  const giveBack = (session: Session, claim: HeldClaim): void => {
    const claims = orphans.get(session);
    if (claims === undefined) orphans.set(session, [claim]);
    else claims.push(claim);
    defer(session, giveBackAll);
  };

  const abandon = (child: DeliveryNode): void => {
    if (open.delete(child)) giveBack(child.epoch.session, claimOf(child));
  };

  const drop = (partition: Partition): void => {
    for (const child of [...open]) if (child.epoch === partition && child.settled === 0) abandon(child);
  };

  /** The epoch of a book that is closed has closed: nothing of it is waited for any more. */
  const endWith = (epoch: Partition): void => {
    drop(epoch);
    for (const child of [...open]) if (child.epoch === epoch) open.delete(child);
    if (open.size > 0) return;
    timer?.unsubscribe();
    call?.unsubscribe();
  };

  return {
    open: (child) => {
      open.add(child);
      if (!closed) renewLater();
    },
    end: (delivery, confirm, then) => {
      if (closed) endInBackground([{ delivery, then }], confirm);
      else (confirm ? confirms : releases).add({ delivery, then });
    },
    abandon,
    giveBack,
    drop,
    close: () => {
      closed = true;
      endInBackground(confirms.close(), true);
      endInBackground(releases.close(), false);
      // A foreign operator below lets go of nothing, and the user's code may settle until the drain is over: claims are renewed until
      // then. What is still claimed by then is given back as the epoch closes: nobody tells a `dedupe` that is torn down.
      for (const epoch of new Set([...open].map((child) => child.epoch))) {
        if (epoch.closed) endWith(epoch);
        else onEpochClose(epoch, () => endWith(epoch));
      }
      if (open.size > 0) return;
      timer?.unsubscribe();
      call?.unsubscribe();
    },
  };
}

function claimOf(child: DeliveryNode): HeldClaim {
  return child.ref as HeldClaim;
}
