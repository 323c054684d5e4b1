import { asyncScheduler, defer as deferred, type ObservableInput, type Subscription } from 'rxjs';
import { exponential } from './backoff.js';
import type { DeliveryNode } from './delivery-node.js';
import { onEpochClose } from './partition.js';
import { cork, defer, uncork } from './pump.js';
import type { PumpTask, Session } from './session.js';
import { notify } from './telemetry.js';
import { hold, unhold } from './units.js';

/** What waits for a call: always about a delivery, so always in credit. @internal */
export interface Grouped {
  readonly delivery: DeliveryNode;
}

/** @internal */
export interface GroupedCallsOptions<I extends Grouped, A> {
  /** What is called, in words: telemetry says that it is out. */
  readonly what: string;
  readonly maxBatch: number;
  /** One call for many items. A throw or an error means that it is out: all of them wait and are tried again. */
  call(items: readonly I[]): ObservableInput<readonly A[]>;
  /** The answer to one item; `undefined` where the call gave fewer answers than items. */
  answer(item: I, answer: A | undefined): void;
  /** The call failed when the group was closed already: nobody will try again. */
  giveUp(item: I): void;
}

/**
 * Groups the calls to a port: one call at a time, at once where none is under way, else with all that has gathered
 * since. While the port is out everything waits, with backoff, and no attempt is counted.
 * @internal
 */
export interface GroupedCalls<I> {
  add(item: I): void;
  /** Tries again at once, where the port is known to be back. */
  kick(): void;
  /** Takes out what waits in no call. */
  extract(matches: (item: I) => boolean): I[];
  /** Starts nothing any more; what comes back is in no call. A call under way goes on until its epochs are closed. */
  close(): I[];
}

/** @internal */
export function groupCalls<I extends Grouped, A>(options: GroupedCallsOptions<I, A>): GroupedCalls<I> {
  const backoff = exponential({ initialMs: 100, maxMs: 5_000 });
  let waiting: I[] = [];
  let calling: readonly I[] = [];
  let call: Subscription | null = null;
  let timer: Subscription | null = null;
  let failures = 0;
  let closed = false;
  // The last session seen: its pump runs the calls, its telemetry hears of outages.
  let session: Session | null = null;

  const send: PumpTask = {
    queued: false,
    run: () => {
      if (closed || calling.length > 0 || timer !== null || waiting.length === 0) return;
      const batch = waiting.slice(0, options.maxBatch);
      waiting = waiting.slice(options.maxBatch);
      calling = batch;
      let answers: readonly A[] = [];
      call = deferred(() => options.call(batch)).subscribe({
        next: (value) => (answers = value),
        error: fail,
        complete: () => succeed(answers),
      });
    },
  };

  const fail = (error: unknown): void => {
    if (closed) {
      answerAll((item) => options.giveUp(item));
      return;
    }
    waiting = [...calling, ...waiting];
    calling = [];
    failures++;
    if (session !== null && failures === 1) notify(session, { type: 'unavailable', what: options.what, error });
    timer = asyncScheduler.schedule(() => {
      timer = null;
      kick();
    }, backoff(failures));
  };

  const succeed = (answers: readonly A[]): void => {
    if (failures > 0 && session !== null) notify(session, { type: 'recovered', what: options.what });
    failures = 0;
    answerAll((item, index) => options.answer(item, answers[index]));
    kick();
  };

  const answerAll = (answer: (item: I, index: number) => void): void => {
    const batch = calling;
    calling = [];
    const sessions = new Set(batch.map(({ delivery }) => delivery.epoch.session));
    for (const each of sessions) cork(each);
    batch.forEach((item, index) => {
      unhold(item.delivery.epoch);
      answer(item, index);
    });
    for (const each of sessions) uncork(each);
  };

  // Nobody owns the call any more but the epochs of its items (I8).
  const endWithEpochs = (): void => {
    for (const epoch of new Set(calling.map(({ delivery }) => delivery.epoch))) {
      onEpochClose(epoch, () => {
        if (calling.every(({ delivery }) => delivery.epoch.closed)) call?.unsubscribe();
      });
    }
  };

  const kick = (): void => {
    if (session !== null && waiting.length > 0) defer(session, send);
  };

  return {
    add: (item) => {
      const { epoch } = item.delivery;
      session = epoch.session;
      waiting.push(item);
      hold(epoch);
      kick();
    },
    kick,
    extract: (matches) => {
      const taken = waiting.filter(matches);
      waiting = waiting.filter((item) => !taken.includes(item));
      for (const { delivery } of taken) unhold(delivery.epoch);
      return taken;
    },
    close: () => {
      closed = true;
      timer?.unsubscribe();
      endWithEpochs();
      const left = waiting;
      waiting = [];
      for (const { delivery } of left) unhold(delivery.epoch);
      return left;
    },
  };
}
