import {
  asyncScheduler,
  defer,
  finalize,
  last,
  map,
  Observable,
  share,
  Subject,
  Subscription,
  takeUntil,
  tap,
  type ObservableInput,
} from 'rxjs';
import { exponential } from '../core/backoff.js';
import { environment } from '../core/environment.js';
import { isSluiceError, nameOf, SluiceError } from '../core/errors.js';
import type { OutboxLease, OutboxRow } from '../core/outbox-row.js';
import type { OutboxLag, OutboxStore } from '../core/outbox-store.js';
import { createPatience, isRefusal } from '../core/patience.js';
import type { QueueAdapter, QueueEngine } from '../core/queue-engine.js';
import { outboxLanes } from './outbox-lanes.js';
import { outboxMarks } from './outbox-marks.js';
import type { ResolvedRelayOptions } from './outbox-relay-options.js';
import type { RelayRecord } from './outbox-shape.js';

const STORE = 'the outbox store';
const MAX_ROWS = 1_000;
// Bounds what one hot key takes of a claim, and how long its lane stays with one relay.
const MAX_RUN = 100;
const CLAIMS_AFTER_VAIN = 16;
// A delivery that was let go comes again after this, never at once.
const AGAIN_MS = 10;
// While nothing is found, a claim is under way for a sixth of the time at most; but a relay looks at least this often.
const RESTS_PER_CLAIM = 5;
const MAX_REST_MS = 5_000;

/**
 * Claims runs of rows, gives the engine one of each lane at a time, renews what it holds, marks what is published.
 * `buried`: those that are dead by now, so that their ack marks nothing.
 * @internal
 */
export function outboxRelay(
  store: OutboxStore,
  { pollMs, leaseMs, capacity, maxBytes, refusalTimeoutMs, untilEnd }: ResolvedRelayOptions,
  engine: QueueEngine<RelayRecord>,
  buried: WeakSet<RelayRecord>,
): QueueAdapter<RelayRecord> {
  const lanes = outboxLanes();
  const few = capacity / 16;
  const backoff = exponential({ initialMs: 100, maxMs: 5_000 });
  // Its migration may be under way as it starts.
  const patience = createPatience(refusalTimeoutMs, Infinity);
  // All rows that we hold a lease of, by their id: at most `capacity`.
  const rows = new Map<string, RelayRecord>();
  // Those that come again, by the timer that gives them.
  const resting = new Map<Subscription, readonly RelayRecord[]>();
  const closing = new Subject<void>();
  const owned = new Subscription();
  let poll: Subscription | null = null;
  let claiming = false;
  let renewing = false;
  // What is published and cannot be marked would be claimed and published again.
  let unmarked = false;
  // How many claims wait until the rows before are marked, after one beside them that found little.
  let vain = 0;
  // Asked for while a claim was under way.
  let again = Infinity;
  let wanted = true;
  let failures = 0;
  let refusing = false;
  let closed = false;
  // How much waits, and when the store said so.
  let known: (OutboxLag & { readonly at: number }) | null = null;
  let counting: Observable<unknown> | null = null;
  let releasing = 0;
  let released: (() => void) | null = null;

  const marked = outboxMarks(store, {
    out: (error) => {
      unmarked = true;
      engine.unavailable(STORE, error);
    },
    back: () => {
      unmarked = false;
      engine.recovered(STORE);
    },
    ended: closing,
  });

  const call = <R>(
    input: () => ObservableInput<R>,
    next: (value: R | undefined) => void,
    error: (error: unknown) => void,
  ): void => {
    defer(input).pipe(last(undefined, undefined), takeUntil(closing)).subscribe({ next, error });
  };

  const isOurs = (record: RelayRecord): boolean => rows.get(record.row.id) === record;

  const forget = (record: RelayRecord): boolean => isOurs(record) && rows.delete(record.row.id);

  const every = (ms: number, work: () => void): void => {
    owned.add(
      asyncScheduler.schedule(function () {
        work();
        this.schedule(undefined, ms);
      }, ms),
    );
  };

  const claimIn = (ms: number): void => {
    poll?.unsubscribe();
    if (closed) return;
    poll = asyncScheduler.schedule(() => {
      poll = null;
      claim(1);
    }, ms);
  };

  /** Asks for rows where there is room for as many as `least`. */
  const claim = (least: number): void => {
    if (closed || !wanted) return;
    if (claiming) {
      // What it does not find, since it was out, may be there by then.
      again = Math.min(again, least);
      return;
    }
    const limit = Math.min(capacity - rows.size, MAX_ROWS);
    const bytes = maxBytes - lanes.bytes;
    if (limit < least || bytes <= 0 || unmarked) {
      if (poll === null) claimIn(pollMs);
      return;
    }
    poll?.unsubscribe();
    poll = null;
    claiming = true;
    again = Infinity;
    const beside = rows.size > few;
    const begun = environment.now();
    const validUntil = begun + leaseMs;
    // Not cut off by the close: what it gives is given back.
    defer(() => store.claim({ limit, perLane: MAX_RUN, maxBytes: bytes, leaseMs, near: beside }))
      .pipe(last(undefined, []))
      .subscribe({
        next: (claimed) => took(claimed, { limit, bytes, begun, validUntil, beside }),
        error: claimFailed,
      });
  };

  // A claim of a few rows costs as much as one of many. Beside rows of the same lanes it finds a few.
  const claimEagerly = (): void => {
    if (vain > 0 && rows.size > few) return;
    if (vain > 0) vain--;
    claim(Math.min(capacity / 2, MAX_ROWS));
  };

  const took = (claimed: readonly OutboxRow[], asked: Asked): void => {
    claiming = false;
    failures = 0;
    if (asked.beside && claimed.length < asked.limit / 2) vain = CLAIMS_AFTER_VAIN;
    const records = claimed.flatMap((row) => recordOf(row, asked.validUntil));
    for (const record of records) rows.set(record.row.id, record);
    if (closed) {
      release(records);
      endWhenReleased();
      return;
    }
    patience.answered(STORE);
    engine.recovered(STORE);
    const bytes = claimed.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
    claimIn(claimed.length > 0 ? pollMs : restAfter(asked.begun));
    engine.push(lanes.admit(records));
    if (again === 1) claim(1);
    else if (again < Infinity || claimed.length >= asked.limit || bytes >= asked.bytes) claimEagerly();
    else if (untilEnd && rows.size === 0) endIfEmpty();
  };

  /** One whose lease lapsed while it was out, or waits, is ours again and goes no second time. */
  const recordOf = (row: OutboxRow, validUntil: number): RelayRecord[] => {
    const known = rows.get(row.id);
    if (known === undefined) return [{ row, attempt: row.attempt, outages: 0, validUntil }];
    Object.assign(known, { row, validUntil });
    return [];
  };

  /**
   * A claim in vain costs more and more where a transaction is open for hours: the database keeps, and walks past, all rows that were
   * published since. Idle relays must not keep it busy with that; wake-ups are heard all the same.
   */
  const restAfter = (begun: number): number =>
    Math.max(pollMs, Math.min((environment.now() - begun) * RESTS_PER_CLAIM, MAX_REST_MS));

  const claimFailed = (error: unknown): void => {
    claiming = false;
    if (closed) {
      endWhenReleased();
      return;
    }
    const typed = isSluiceError(error) ? error : storeFailed(error);
    const over = isRefusal(typed) ? patience.refused(STORE, typed) : patience.unreached(STORE, typed);
    if (over !== null) {
      engine.fail(over);
      return;
    }
    engine.unavailable(STORE, error);
    claimIn(backoff(++failures));
  };

  const wake = (): void => {
    if (claiming || failures === 0) claim(1);
  };

  const endIfEmpty = (): void =>
    call<OutboxLag>(
      () => store.lag(),
      (lag) => {
        if (lag?.rows === 0 && rows.size === 0) engine.end();
      },
      () => undefined,
    );

  const renew = (): void => {
    const held = [...rows.values()];
    if (held.length === 0 || renewing) return;
    renewing = true;
    const validUntil = environment.now() + leaseMs;
    const leases = held.map(leaseOf);
    call<readonly boolean[]>(
      () => store.renew(leases, leaseMs),
      (renewed = []) => {
        renewing = false;
        held.forEach((record, index) => {
          if (record.row.token !== leases[index]?.token) return;
          if (renewed[index]) record.validUntil = validUntil;
          else forget(record);
        });
      },
      // The next time may do; what is not renewed is not begun once its lease may have lapsed.
      (error) => {
        renewing = false;
        engine.unavailable(STORE, error);
      },
    );
  };

  const follow = (records: readonly RelayRecord[]): void => {
    const now = environment.now();
    const followers: RelayRecord[] = [];
    for (const record of records) {
      const next = lanes.next(record);
      if (next === undefined) continue;
      if (isOurs(next) && next.validUntil > now) followers.push(next);
      // Another relay may have it, and what waits behind it is not to overtake it.
      else letGo([next]);
    }
    if (followers.length > 0) engine.push(followers);
  };

  const release = (records: readonly RelayRecord[]): void => {
    const ours = records.filter(forget);
    if (ours.length === 0) return;
    releasing++;
    defer(() => store.release(ours.map((record) => ({ ...leaseOf(record), attempts: record.attempt - 1 }))))
      // Where that fails they lapse.
      .pipe(
        finalize(() => {
          releasing--;
          endWhenReleased();
        }),
      )
      .subscribe({ error: () => undefined });
  };

  const endWhenReleased = (): void => {
    if (releasing === 0 && !claiming) released?.();
  };

  const letGo = (records: readonly RelayRecord[]): void =>
    release(records.flatMap((record) => [record, ...lanes.drop(record)]));

  const giveAgain = (records: readonly RelayRecord[]): void => {
    // What waits behind it is not kept from other uses of the memory; the lane stays ours by its first row.
    release(records.flatMap((record) => lanes.clear(record)));
    const due = asyncScheduler.schedule(() => {
      resting.delete(due);
      const ours = records.filter(isOurs);
      refusing = true;
      engine.push(ours);
      refusing = false;
    }, AGAIN_MS);
    resting.set(due, records);
  };

  // A store that takes longer than `lagEveryMs` is asked once at a time.
  const count = (): Observable<unknown> =>
    (counting ??= defer(() => store.lag()).pipe(
      last(),
      tap((counted) => (known = { ...counted, at: environment.now() })),
      finalize(() => (counting = null)),
      takeUntil(closing),
      share({ resetOnRefCountZero: false }),
    ));

  return {
    start: () => {
      every(leaseMs / 3, renew);
      // A store that can wake nobody any more leaves the polling.
      owned.add(store.wakeUps?.subscribe({ next: wake, error: () => undefined }));
      claim(1);
    },
    demand: (isWanted) => {
      wanted = isWanted;
      if (isWanted) wake();
    },
    ack: (records) => {
      const published = records.filter((record) => !buried.has(record));
      // Marking takes a round trip, and the next of the lane need not wait for it.
      follow(records);
      return marked(published.map(leaseOf)).pipe(
        map((answers) => {
          const isOurs = new Map(published.map((record, index) => [record, answers[index]]));
          for (const record of records) forget(record);
          claimEagerly();
          return records.map((record) => (isOurs.get(record) === false ? leaseLost() : null));
        }),
      );
    },
    refreshLag: count,
    lag: () => {
      if (known === null) return null;
      const { rows: lagMessages, more, oldestMs: lagMs, at } = known;
      return { lagMessages, ...(more ? { more } : {}), lagMs, ageMs: environment.now() - at };
    },
    nack: (records) => {
      // What the engine gives back within a push it does not take any more.
      // Nor does it wait for a lease that may be over.
      const now = environment.now();
      const kept = refusing || closed ? [] : records.filter(({ validUntil }) => validUntil > now);
      letGo(records.filter((record) => !kept.includes(record)));
      if (kept.length > 0) giveAgain(kept);
    },
    close: () =>
      new Observable<never>((subscriber) => {
        closed = true;
        poll?.unsubscribe();
        for (const [due, records] of resting) {
          due.unsubscribe();
          letGo(records);
        }
        resting.clear();
        closing.next();
        owned.unsubscribe();
        released = () => subscriber.complete();
        endWhenReleased();
      }),
  };
}

interface Asked {
  readonly limit: number;
  readonly bytes: number;
  readonly begun: number;
  readonly validUntil: number;
  /** Many rows of claims before were out. */
  readonly beside: boolean;
}

function leaseOf({ row: { id, token } }: RelayRecord): OutboxLease {
  return { id, token };
}

function storeFailed(cause: unknown): SluiceError {
  return new SluiceError(
    'store-failed',
    `fromOutbox: the outbox store failed: ${nameOf(cause)}. The cause says more.`,
    {
      cause,
    },
  );
}

function leaseLost(): SluiceError {
  return new SluiceError(
    'store-failed',
    'fromOutbox: the lease of a row was lost before it was marked as published, so another relay may publish it again.',
  );
}
