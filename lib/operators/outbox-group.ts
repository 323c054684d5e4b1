import { from, Observable, type ObservableInput, type Subscriber, type Subscription } from 'rxjs';
import { isPromiseLike, whenSettled } from '../core/deferred.js';
import { isSettled } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { isInstance } from '../core/is-instance.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { OutboxFault, OutboxStore } from '../core/outbox-store.js';
import type { OutboxPart, OutboxTransaction } from '../core/outbox-transaction.js';
import { OutboxTimeout, runHandler, type OutboxWork, type OutboxWorkOptions } from './outbox-work.js';

/** What became of one message of a group. `again`: its transaction is gone, and that says nothing of the message. @internal */
export type OutboxAnswer =
  | { readonly status: 'done'; readonly result: unknown }
  | { readonly status: 'repeat' }
  | { readonly status: 'failed'; readonly error: unknown }
  | { readonly status: 'again' }
  | { readonly status: 'dropped' };

/** @internal */
export interface OutboxGroupOptions extends OutboxWorkOptions {
  readonly store: OutboxStore;
}

/** Where in its life a transaction failed: what it means depends on it. @internal */
export class GroupFailure extends Error {
  constructor(
    readonly phase: 'opening' | 'working' | 'committing',
    readonly error: unknown,
    /** Whose handler it was. */
    readonly work: OutboxWork | null,
  ) {
    super();
  }
}

/**
 * Runs works in one transaction, one after another, a failing one rolled back alone. One answer a work, in order, once
 * it is committed; errors with a `GroupFailure` after everything was rolled back. Each message goes through here, so it
 * is written out: built of operators it took three times as long (docs/decisions/0023).
 * @internal
 */
export function runInOneTransaction(
  options: OutboxGroupOptions,
  works: readonly OutboxWork[],
): Observable<readonly OutboxAnswer[]> {
  return new Observable((subscriber) => {
    const run = new GroupRun(options, works, subscriber);
    run.start();
    return () => run.cutOff();
  });
}

/** What is under way and may be cut off. */
type Running = Pick<Subscription, 'unsubscribe'> | null;

class GroupRun {
  private readonly answers: OutboxAnswer[] = [];
  private readonly messages: OutboxMessage[] = [];
  /** Keys that were recorded in vain. */
  private readonly forget: string[] = [];
  private readonly keys: readonly string[];
  private readonly alone: boolean;
  private isNew: readonly boolean[] = [];
  /** Keys that had their turn. */
  private readonly seen = new Set<string>();
  private transaction: OutboxTransaction<unknown> | null = null;
  /** Neither committed nor rolled back. */
  private open = false;
  private someDone = false;
  private running: Running = null;
  private steps = 0;
  /** Of the work whose turn is next. */
  private index = 0;
  private looping = false;
  private ready = false;

  constructor(
    private readonly options: OutboxGroupOptions,
    private readonly works: readonly OutboxWork[],
    private readonly subscriber: Subscriber<readonly OutboxAnswer[]>,
  ) {
    this.alone = works.length === 1;
    this.keys = this.alone ? [(works[0] as OutboxWork).key] : [...new Set(works.map(({ key }) => key))];
  }

  start(): void {
    const { store } = this.options;
    this.call(
      'opening',
      null,
      () => store.transaction((this.works[0] as OutboxWork).consumer),
      (opened) => {
        if (opened === undefined) {
          this.subscriber.error(new GroupFailure('opening', noTransaction(), null));
          return;
        }
        this.transaction = opened;
        this.open = true;
        this.call(
          'opening',
          null,
          () => opened.record(this.keys),
          (isNew = []) => {
            this.isNew = isNew;
            this.next();
          },
        );
      },
    );
  }

  cutOff(): void {
    this.running?.unsubscribe();
    if (!this.open || this.transaction === null) return;
    this.open = false;
    // Cut off in the middle: a statement may be under way.
    try {
      from(this.transaction.rollBack(true)).subscribe({ error: () => undefined });
    } catch {
      // Nobody is left to be told.
    }
  }

  /** The turn of the next work; a handler that answers at once is no deeper call. */
  private next(): void {
    this.ready = true;
    if (this.looping) return;
    this.looping = true;
    while (this.ready && !this.subscriber.closed) {
      this.ready = false;
      if (this.index === this.works.length) {
        this.commit();
        return;
      }
      this.process(this.works[this.index++] as OutboxWork);
    }
    this.looping = false;
  }

  private process(work: OutboxWork): void {
    // Whose fate hangs on the one before it.
    if (this.seen.has(work.key)) {
      this.answer({ status: 'again' });
      return;
    }
    this.seen.add(work.key);
    const recorded = this.isNew[this.alone ? 0 : this.keys.indexOf(work.key)];
    if (recorded === undefined) this.answer({ status: 'failed', error: unanswered(work) });
    else if (!recorded) this.answer({ status: 'repeat' });
    else this.runPart(work);
  }

  private runPart(work: OutboxWork): void {
    const { delivery } = work;
    if (!delivery.epoch.live) {
      this.forget.push(work.key);
      this.answer({ status: 'dropped' });
      return;
    }
    const part = (this.transaction as OutboxTransaction<unknown>).begin(this.alone);
    this.begin(() =>
      runHandler(this.options, work, part, {
        done: (result, emitted) => this.done(work, part, result, emitted),
        failed: (error) => this.failed(work, part, error),
      }),
    );
  }

  private done(work: OutboxWork, part: OutboxPart<unknown>, result: unknown, emitted: readonly OutboxMessage[]): void {
    // Its transaction may fail yet, so a settlement of its own says too much.
    if (isSettled(work.delivery)) {
      this.undo(work, part, { status: 'dropped' });
      return;
    }
    const kept = (): void => {
      this.someDone = true;
      this.messages.push(...emitted);
      this.answer({ status: 'done', result });
    };
    if (this.alone) kept();
    else this.call('working', work, () => part.keep(), kept);
  }

  private failed(work: OutboxWork, part: OutboxPart<unknown>, error: unknown): void {
    if (isInstance(error, OutboxTimeout) || faultOf(this.options.store, error) !== null) {
      this.rollBack(new GroupFailure('working', error, work));
    } else this.undo(work, part, { status: 'failed', error });
  }

  private undo(work: OutboxWork, part: OutboxPart<unknown>, given: OutboxAnswer): void {
    this.forget.push(work.key);
    const undone = (): void => this.answer(given);
    if (this.alone) undone();
    else this.call('working', work, () => part.undo(), undone);
  }

  private answer(given: OutboxAnswer): void {
    this.answers.push(given);
    this.next();
  }

  private commit(): void {
    const { messages, forget } = this;
    if (!this.someDone) {
      this.rollBack(null);
      return;
    }
    this.open = false;
    this.call(
      'committing',
      null,
      () => (this.transaction as OutboxTransaction<unknown>).commit({ messages, forget }),
      () => this.answerAll(),
    );
  }

  private rollBack(failure: GroupFailure | null): void {
    const end = (): void => {
      if (failure !== null) this.subscriber.error(failure);
      else this.answerAll();
    };
    if (!this.open || this.transaction === null) {
      end();
      return;
    }
    this.open = false;
    try {
      this.wait(this.transaction.rollBack(isInstance(failure?.error, OutboxTimeout)), end, end);
    } catch {
      end();
    }
  }

  private answerAll(): void {
    this.subscriber.next(this.answers);
    this.subscriber.complete();
  }

  private call<R>(
    phase: GroupFailure['phase'],
    work: OutboxWork | null,
    input: () => ObservableInput<R>,
    done: (value: R | undefined) => void,
  ): void {
    const failed = (error: unknown): void => this.rollBack(new GroupFailure(phase, error, work));
    let made: ObservableInput<R>;
    try {
      made = input();
    } catch (error) {
      failed(error);
      return;
    }
    this.wait(made, done, failed);
  }

  /** One step at a time: its last value, or the failure of the whole. */
  private wait<R>(
    input: ObservableInput<R>,
    done: (value: R | undefined) => void,
    failed: (error: unknown) => void,
  ): void {
    this.begin(() => {
      // Most often a Promise, which needs no subscription.
      if (isPromiseLike(input)) {
        whenSettled(
          input,
          (value) => void (this.subscriber.closed || done(value as R)),
          (error) => void (this.subscriber.closed || failed(error)),
        );
        return null;
      }
      let value: R | undefined;
      return from(input).subscribe({ next: (next) => (value = next), error: failed, complete: () => done(value) });
    });
  }

  /** A step that ends at once may have begun the next one by then. */
  private begin(step: () => Running): void {
    const number = ++this.steps;
    const begun = step();
    if (number === this.steps) this.running = begun;
    if (this.subscriber.closed) this.running?.unsubscribe();
  }
}

/** Says what an error means to the store. One that cannot even be looked at is nobody's but the handler's. @internal */
export function faultOf(store: OutboxStore, error: unknown): OutboxFault {
  try {
    return store.faultOf(error);
  } catch {
    return null;
  }
}

function noTransaction(): SluiceError {
  return new SluiceError('store-failed', 'withOutbox: the outbox store gave no transaction.');
}

function unanswered({ delivery: { id } }: OutboxWork): SluiceError {
  return new SluiceError('store-failed', `withOutbox: the outbox store gave no answer for the key of ${id}.`, {
    details: { id },
  });
}
