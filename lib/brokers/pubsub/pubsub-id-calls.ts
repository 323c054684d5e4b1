import {
  asapScheduler,
  defer as deferred,
  EMPTY,
  Observable,
  retry,
  Subscription,
  timer,
  type ObservableInput,
} from 'rxjs';
import { exponential, waitOf } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import { SluiceError } from '../../core/errors.js';
import { later } from './pubsub-later.js';

/** Calls that take ids of arrivals: what comes while enough of them are under way goes with the next one. @internal */
export interface PubSubIdCalls {
  /** `answer` is called with `null` where the call with these ids went well, else with why not. */
  send(ids: readonly string[], answer: (error: unknown) => void): void;
  /** Completes once nothing is under way or waits. */
  idle(): Observable<never>;
  /** Cuts off what is under way or waits, and answers it so. */
  end(): void;
}

/** @internal */
export interface PubSubIdCallsOptions {
  call(ids: readonly string[]): ObservableInput<unknown>;
  /** Whether a failure may pass. */
  isMendable(error: unknown): boolean;
  /** How many calls may be under way at once: with 1, nothing overtakes what is tried again. */
  readonly mostCalls: number;
  /** How long the first id waits for others, in milliseconds; 0 is until the end of the turn. */
  readonly lingerMs?: number;
}

/** A request may have 512 KiB, an id has some 200 bytes. */
const MOST_IDS = 2_000;

/** For how long a call is tried again; what it is about comes again meanwhile. */
const GIVE_UP_MS = 60_000;

interface Waiting {
  readonly ids: readonly string[];
  readonly answer: (error: unknown) => void;
}

/** @internal */
export function createIdCalls({ call, isMendable, mostCalls, lingerMs = 0 }: PubSubIdCallsOptions): PubSubIdCalls {
  const backoff = exponential({ initialMs: 100, maxMs: 5_000 });
  const subscriptions = new Subscription();
  const listeners = new Set<() => void>();
  const underWay = new Set<readonly Waiting[]>();
  let waiting: Waiting[] = [];

  const start = (): void => {
    while (waiting.length > 0 && underWay.size < mostCalls) {
      const group = takeGroup();
      const begunAt = environment.now();
      const ids = group.flatMap((item) => item.ids);
      underWay.add(group);
      const answer = (error: unknown): void => {
        underWay.delete(group);
        for (const item of group) item.answer(error);
        start();
        if (underWay.size === 0 && waiting.length === 0) for (const listener of [...listeners]) listener();
      };
      const delay = (error: unknown, failures: number): Observable<unknown> => {
        if (!isMendable(error) || environment.now() - begunAt > GIVE_UP_MS) throw error;
        return timer(waitOf(backoff, failures));
      };
      const subscription = deferred(() => call(ids))
        .pipe(retry({ delay }))
        .subscribe({ error: (error: unknown) => answer(error), complete: () => answer(null) });
      subscriptions.add(subscription);
    }
  };

  const takeGroup = (): Waiting[] => {
    let ids = 0;
    let count = 0;
    while (count < waiting.length && (count === 0 || ids + (waiting[count] as Waiting).ids.length <= MOST_IDS)) {
      ids += (waiting[count++] as Waiting).ids.length;
    }
    const group = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return group;
  };

  return {
    send: (ids, answer) => {
      waiting.push({ ids, answer });
      if (waiting.length > 1) return;
      // What is settled in one turn goes together.
      if (lingerMs === 0) asapScheduler.schedule(start);
      else later(subscriptions, lingerMs, start);
    },
    idle: () => {
      if (underWay.size === 0 && waiting.length === 0) return EMPTY;
      return new Observable((subscriber) => {
        const listener = (): void => subscriber.complete();
        listeners.add(listener);
        return () => void listeners.delete(listener);
      });
    },
    end: () => {
      subscriptions.unsubscribe();
      const left = [...[...underWay].flat(), ...waiting];
      underWay.clear();
      waiting = [];
      for (const { answer } of left) answer(unanswered());
    },
  };
}

function unanswered(): SluiceError {
  return new SluiceError(
    'connection-failed',
    'fromPubSub: the source has ended before Pub/Sub answered; a longer drainTimeoutMs waits longer for it.',
  );
}
