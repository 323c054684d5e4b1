import { asyncScheduler, defer as deferred, type ObservableInput, type Subscription } from 'rxjs';
import { exponential } from './backoff.js';
import type { DeliveryNode } from './delivery-node.js';
import type { MessageBytes } from './message.js';
import { createOutage, type Outage } from './outage.js';
import { cork, defer, uncork } from './pump.js';
import type { PumpTask, Session } from './session.js';
import { createSuspects } from './suspects.js';
import { hold, unhold } from './units.js';

/** What waits for a call: always about a delivery, so always in credit. @internal */
export interface Grouped {
  readonly delivery: DeliveryNode;
}

/** @internal */
export interface GroupedCallsOptions<I extends Grouped, A> {
  /** What is called, in words: telemetry says that it is out. Or its outage, where others find it out too. */
  readonly what: string | Outage;
  /** Asked anew for each call, as `maxCalls` is. */
  readonly maxBatch: number;
  /** How many calls may be under way at once. Default: 1, which keeps the order of the items. */
  readonly maxCalls?: number;
  /**
   * Calls of two kinds take turns, such as claims and confirms: one takes at most a quarter of what may be in flight, so that
   * both are always under way. Default: false.
   */
  readonly alternates?: boolean;
  /** The call runs the user's work: what is in one counts as running, not as held. Default: false. */
  readonly works?: boolean;
  /**
   * One call for many items. A throw or an error means that the port is out, or that one item makes it fail: all of them wait and
   * are tried again, in smaller and smaller calls.
   */
  call(items: readonly I[]): ObservableInput<readonly A[]>;
  /** The answer to one item; `undefined` where the call gave fewer answers than items. */
  answer(item: I, answer: A | undefined): void;
  /**
   * Calls with this item alone failed again and again while others went well, so it is to blame. Settles it, or changes it and gives
   * it again, to be tried once more.
   */
  culprit(item: I, error: unknown): I | undefined;
  /** What an item must not overtake another one for. Default: the key of its delivery. */
  keysOf?(item: I): readonly MessageBytes[];
  /**
   * An item to be tried where the given one fails alone and none waits that does not, to tell an outage from a culprit. Its answer
   * counts for nothing. Default: none, so one that waits alone goes on waiting.
   */
  standIn?(item: I): I | undefined;
  /** The call failed when the group was closed already: nobody will try again. */
  giveUp(item: I): void;
}

/**
 * Groups the calls to a port: at most `maxCalls` at a time, at once where that allows it, else with all that has
 * gathered since. While the port is out everything waits, one call at a time tries with backoff, and no attempt is
 * counted. An item that makes each call with it fail is found and given up, and does not keep others waiting (`suspects.ts`).
 * @internal
 */
export interface GroupedCalls<I> {
  add(item: I): void;
  /** Tries again at once, where the port is known to be back. */
  kick(): void;
  /** Takes out what waits in no call. */
  extract(matches: (item: I) => boolean): I[];
  /** Starts nothing any more; what comes back is in no call. A call under way goes on until its sources are closed. */
  close(): I[];
}

// Below this a round trip costs more than what goes with it.
const LEAST_SHARE = 100;

interface Call<I> {
  readonly items: readonly I[];
  readonly isStandIn: boolean;
  subscription: Subscription | null;
}

/** @internal */
export function groupCalls<I extends Grouped, A>(options: GroupedCallsOptions<I, A>): GroupedCalls<I> {
  const { alternates = false, works = false, what } = options;
  const outage = typeof what === 'string' ? createOutage(what) : what;
  const backoff = exponential({ initialMs: 100, maxMs: 5_000 });
  let waiting: I[] = [];
  const calls = new Set<Call<I>>();
  let timer: Subscription | null = null;
  let failures = 0;
  // It was told that the port is out.
  let closed = false;
  const suspects = createSuspects<I>({
    keysOf: options.keysOf ?? (({ delivery }) => [delivery.key]),
    ...(options.standIn === undefined ? {} : { standIn: options.standIn }),
  });
  // Calls whose answers are still to be given.
  const succeeded: { readonly call: Call<I>; readonly answers: readonly A[] }[] = [];
  let answering = false;
  // The last session seen: its pump runs the calls, its telemetry hears of outages.
  let session: Session | null = null;

  const send: PumpTask = {
    queued: false,
    run: () => {
      while (
        !closed &&
        timer === null &&
        waiting.length > 0 &&
        calls.size < (failures > 0 ? 1 : (options.maxCalls ?? 1))
      ) {
        const { items, left, isStandIn } = suspects.next(waiting, batchOf());
        waiting = left;
        start({ items, isStandIn, subscription: null });
      }
    },
  };

  const batchOf = (): number => {
    if (!alternates || session === null) return options.maxBatch;
    return Math.min(options.maxBatch, Math.max(LEAST_SHARE, session.options.maxInFlight >> 2));
  };

  const start = (call: Call<I>): void => {
    calls.add(call);
    if (works && !call.isStandIn) for (const { delivery } of call.items) unhold(delivery.epoch);
    let answers: readonly A[] = [];
    const subscription = deferred(() => options.call(call.items)).subscribe({
      // A port that was written in JavaScript may answer anything.
      next: (value) => (answers = isList(value) ? value : []),
      error: (error: unknown) => fail(call, error),
      complete: () => succeed(call, answers),
    });
    call.subscription = subscription;
  };

  const fail = (call: Call<I>, error: unknown): void => {
    calls.delete(call);
    const items = call.isStandIn ? [] : call.items;
    if (closed) {
      answerAll(items, !works, (item) => options.giveUp(item));
      return;
    }
    const isNews = !suspects.isSuspect(items);
    const culprit = items.length === 0 ? null : suspects.failed(items);
    if (culprit === null) waiting = [...items, ...waiting];
    failures++;
    outage.out(session, error, isNews);
    timer ??= asyncScheduler.schedule(() => {
      timer = null;
      kick();
    }, backoff(failures));
    if (culprit !== null) giveUpOn(culprit, error);
    else if (works) for (const { delivery } of items) hold(delivery.epoch);
  };

  const giveUpOn = (culprit: I, error: unknown): void =>
    answerAll([culprit], !works, () => {
      const again = options.culprit(culprit, error);
      if (again !== undefined && !closed) {
        waiting.unshift(again);
        hold(again.delivery.epoch);
        return;
      }
      suspects.forget(culprit);
      if (again !== undefined) options.giveUp(again);
    });

  const succeed = (call: Call<I>, answers: readonly A[]): void => {
    calls.delete(call);
    outage.over();
    failures = 0;
    suspects.wentWell(call.isStandIn ? [] : call.items);
    if (call.isStandIn) {
      kick();
      return;
    }
    succeeded.push({ call, answers });
    // One that was answered at once, while the answers before it wait for their turn.
    if (answering) return;
    answering = true;
    try {
      // The next call is under way while these are answered, where about as many wait for it.
      if (alternates && 2 * waiting.length >= call.items.length) send.run();
      for (let next = succeeded.shift(); next !== undefined; next = succeeded.shift()) {
        const { call: its, answers: given } = next;
        answerAll(its.items, !works, (item, index) => options.answer(item, given[index] ?? undefined));
      }
    } finally {
      answering = false;
    }
    kick();
  };

  const answerAll = (items: readonly I[], isHeld: boolean, answer: (item: I, index: number) => void): void => {
    const sessions = new Set(items.map(({ delivery }) => delivery.epoch.session));
    for (const each of sessions) cork(each);
    items.forEach((item, index) => {
      if (isHeld) unhold(item.delivery.epoch);
      answer(item, index);
    });
    for (const each of sessions) uncork(each);
  };

  // Nobody owns the calls any more but the sources of their items (I8).
  const endWithSources = ({ items, subscription }: Call<I>): void => {
    const sessions = new Set(items.map(({ delivery }) => delivery.epoch.session));
    const endIfClosed = (): void => {
      if ([...sessions].every((each) => each.closed)) subscription?.unsubscribe();
    };
    for (const each of sessions) each.background.add(endIfClosed);
  };

  const kick = (): void => {
    if (session !== null && waiting.length > 0) defer(session, send);
  };

  return {
    add: (item) => {
      if (closed) {
        options.giveUp(item);
        return;
      }
      const { epoch } = item.delivery;
      session = epoch.session;
      waiting.push(item);
      hold(epoch);
      kick();
    },
    kick: () => {
      timer?.unsubscribe();
      timer = null;
      kick();
    },
    extract: (matches) => {
      const taken = new Set(waiting.filter(matches));
      waiting = waiting.filter((item) => !taken.has(item));
      for (const item of taken) {
        suspects.forget(item);
        unhold(item.delivery.epoch);
      }
      return [...taken];
    },
    close: () => {
      closed = true;
      timer?.unsubscribe();
      calls.forEach(endWithSources);
      const left = waiting;
      waiting = [];
      for (const { delivery } of left) unhold(delivery.epoch);
      return left;
    },
  };
}

function isList(value: unknown): boolean {
  return Array.isArray(value);
}
