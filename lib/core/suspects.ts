import { hashOf } from './hash.js';
import type { MessageBytes } from './message.js';

/** An item that was in calls that failed. */
interface Trouble {
  /** Calls in a row that failed with it. */
  failures: number;
  /** The most items of a call with it. */
  company: number;
  /** Those that failed with it alone. */
  alone: number;
  /** Failures that speak against an outage: since the one before, a call without it went well. */
  strikes: number;
  /** How many calls had gone well when it last failed. */
  seen: number;
  /** It was found to blame, and may have been changed since. */
  blamed: boolean;
}

/** The next call. @internal */
export interface NextCall<I> {
  readonly items: I[];
  /** The items that go on waiting. */
  readonly left: I[];
  /** The only item stands in for others, of which none wait: it tells whether the port works. */
  readonly isStandIn: boolean;
}

/** @internal */
export interface SuspectsOptions<I> {
  /** What an item must not overtake another one for, such as keys of its messages. None at all: it may overtake, whenever that helps. */
  keysOf(item: I): readonly MessageBytes[];
  /** An item to be tried in the place of others, where none wait but those that failed alone. */
  standIn?(item: I): I | undefined;
}

/**
 * Tells an item that makes each call with it fail from an outage, in which each call fails. The two look the same until
 * another item goes through.
 *
 * - After `PATIENCE` failures in a row the next call takes half of the items, then half of those. In an outage that costs
 *   nothing: there are as many calls as before, each with fewer items. Else the halves without the culprit go through, so that
 *   it is alone after log₂(n) failures.
 * - An item that failed alone takes turns with items of other keys: each fifth time, and each second time once others have gone
 *   through, so that after an outage few have overtaken it. Where an item that had failed alone goes through, it was an outage: all
 *   that was noted is void.
 * - An item that failed alone twice is to blame if `STRIKES` of its failures came after calls of others that had gone well.
 *
 * With n items of which k are to blame some 2k·log₂(n) calls fail; each costs the time of a look at what waits.
 * @internal
 */
export interface Suspects<I> {
  /** Chooses from what waits, which is not empty. */
  next(waiting: I[], most: number): NextCall<I>;
  /** Gives the item that is to blame, if that is certain. */
  failed(items: readonly I[]): I | null;
  /** These went through; none, where it was something that stood in for others. */
  wentWell(items: readonly I[]): void;
  /** Whether one of them failed alone before, so that another failure of it is no news. */
  isSuspect(items: readonly I[]): boolean;
  /** It waits no longer. */
  forget(item: I): void;
}

const PATIENCE = 3;
const STRIKES = 2;
// Calls with an item alone for each one of others, or of what stands in for them, while nothing goes through.
const TRIES_A_TURN = 5;

/** @internal */
export function createSuspects<I extends object>(options: SuspectsOptions<I>): Suspects<I> {
  // Those that were in a failed call and have not been in one that went well since.
  let troubles = new WeakMap<I, Trouble>();
  // Nothing failed since all that was noted is void: a call takes what comes first.
  let calm = true;
  // Those that failed alone, the one that was tried last at the end.
  const alone = new Set<I>();
  let othersTurn = false;
  let wellCalls = 0;

  const companyOf = (item: I): number => troubles.get(item)?.company ?? Infinity;

  const first = (waiting: I[], most: number): NextCall<I> => {
    let limit = most;
    let count = 0;
    while (!calm && count < waiting.length) {
      const company = companyOf(waiting[count] as I);
      if (count >= Math.min(limit, company)) break;
      limit = Math.min(limit, company);
      count++;
    }
    return { items: waiting.splice(0, calm ? most : count), left: waiting, isStandIn: false };
  };

  /** Those that have not failed alone, and overtake none of their keys. */
  const others = (waiting: readonly I[], most: number): NextCall<I> => {
    const kept = new Set<number>();
    const items: I[] = [];
    const left: I[] = [];
    let limit = most;
    for (const item of waiting) {
      if (items.length >= limit) {
        left.push(item);
        continue;
      }
      const keys = hashesOf(item);
      const company = companyOf(item);
      if (alone.has(item) || items.length >= company || keys.some((key) => kept.has(key))) {
        left.push(item);
        for (const key of keys) kept.add(key);
        continue;
      }
      items.push(item);
      limit = Math.min(limit, company);
    }
    return { items, left, isStandIn: false };
  };

  // A hash that two keys share makes one of them wait, and no more.
  const hashesOf = (item: I): number[] =>
    options.keysOf(item).flatMap((key) => (key === null || key === undefined ? [] : [hashOf(key)]));

  /** Whether others have a turn before this one is tried again. */
  const givesWay = (item: I): boolean => {
    const { alone: tries, strikes } = troubles.get(item) as Trouble;
    return strikes > 0 || tries % TRIES_A_TURN === 0;
  };

  return {
    next: (waiting, most) => {
      const here = alone.size === 0 ? null : new Set(waiting.filter((item) => alone.has(item)));
      if (here === null || here.size === 0) return first(waiting, most);
      const [suspect] = [...alone].filter((item) => here.has(item)) as [I];
      if (othersTurn) {
        othersTurn = false;
        const isDue = [...here].some(givesWay);
        const chosen = isDue || options.keysOf(suspect).length === 0 ? others(waiting, most) : null;
        if (chosen !== null && chosen.items.length > 0) return chosen;
        const standIn = isDue ? options.standIn?.(suspect) : undefined;
        if (standIn !== undefined) return { items: [standIn], left: waiting, isStandIn: true };
      }
      othersTurn = true;
      return { items: [suspect], left: waiting.filter((item) => item !== suspect), isStandIn: false };
    },

    failed: (items) => {
      calm = false;
      for (const item of items) {
        let trouble = troubles.get(item);
        if (trouble === undefined) {
          trouble = { failures: 0, company: Infinity, alone: 0, strikes: 0, seen: wellCalls, blamed: false };
          troubles.set(item, trouble);
        }
        if (wellCalls > trouble.seen) trouble.strikes++;
        trouble.seen = wellCalls;
        if (++trouble.failures >= PATIENCE) trouble.company = Math.ceil(items.length / 2);
      }
      const [item] = items as [I];
      const trouble = troubles.get(item) as Trouble;
      if (items.length > 1 || trouble.failures < PATIENCE) return null;
      alone.delete(item);
      alone.add(item);
      if (++trouble.alone < 2 || trouble.strikes < STRIKES) return null;
      // What is tried in its place needs one more of these, and no more.
      trouble.strikes = STRIKES - 1;
      trouble.blamed = true;
      return item;
    },

    wentWell: (items) => {
      wellCalls++;
      if (calm) return;
      if (items.some((item) => alone.has(item) && troubles.get(item)?.blamed !== true)) {
        troubles = new WeakMap();
        alone.clear();
        calm = true;
        return;
      }
      for (const item of items) {
        troubles.delete(item);
        alone.delete(item);
      }
    },

    isSuspect: (items) => items.some((item) => alone.has(item)),

    forget: (item) => void alone.delete(item),
  };
}
