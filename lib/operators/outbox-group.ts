import { from, Observable, type ObservableInput, type Subscription } from 'rxjs';
import { isSettled } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { OutboxStore } from '../core/outbox-store.js';
import type { OutboxTransaction } from '../core/outbox-transaction.js';
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
 * is written out: built of operators it took three times as long.
 * @internal
 */
export function runInOneTransaction(
  options: OutboxGroupOptions,
  works: readonly OutboxWork[],
): Observable<readonly OutboxAnswer[]> {
  return new Observable((subscriber) => {
    const answers: OutboxAnswer[] = [];
    const messages: OutboxMessage[] = [];
    // Keys that were recorded in vain.
    const forget: string[] = [];
    const keys = works.length === 1 ? [(works[0] as OutboxWork).key] : [...new Set(works.map(({ key }) => key))];
    const alone = works.length === 1;
    let transaction: OutboxTransaction<unknown> | null = null;
    // Neither committed nor rolled back.
    let open = false;
    let someDone = false;
    let running: Subscription | null = null;
    let steps = 0;

    /** A step that ends at once may have begun the next one by then. */
    const begin = (step: () => Subscription | null): void => {
      const number = ++steps;
      const begun = step();
      if (number === steps) running = begun;
      if (subscriber.closed) running?.unsubscribe();
    };

    /** One step at a time: its last value, or the failure of the whole. */
    const wait = <R>(
      input: ObservableInput<R>,
      done: (value: R | undefined) => void,
      failed: (error: unknown) => void,
    ): void => {
      let value: R | undefined;
      begin(() =>
        from(input).subscribe({
          next: (next) => (value = next),
          error: failed,
          complete: () => done(value),
        }),
      );
    };

    const call = <R>(
      phase: GroupFailure['phase'],
      work: OutboxWork | null,
      input: () => ObservableInput<R>,
      done: (value: R | undefined) => void,
    ): void => {
      const failed = (error: unknown): void => rollBack(new GroupFailure(phase, error, work));
      let made: ObservableInput<R>;
      try {
        made = input();
      } catch (error) {
        failed(error);
        return;
      }
      wait(made, done, failed);
    };

    const rollBack = (failure: GroupFailure | null): void => {
      const end = (): void => {
        if (failure !== null) subscriber.error(failure);
        else answerAll();
      };
      if (!open || transaction === null) {
        end();
        return;
      }
      open = false;
      try {
        wait(transaction.rollBack(failure?.error instanceof OutboxTimeout), end, end);
      } catch {
        end();
      }
    };

    const answerAll = (): void => {
      subscriber.next(answers);
      subscriber.complete();
    };

    const commit = (): void => {
      if (!someDone) {
        rollBack(null);
        return;
      }
      open = false;
      call(
        'committing',
        null,
        () => (transaction as OutboxTransaction<unknown>).commit({ messages, forget }),
        answerAll,
      );
    };

    const runAll = (isNew: readonly boolean[]): void => {
      const seen = new Set<string>();
      let index = 0;
      // A handler that answers at once is no deeper call.
      let looping = false;
      let ready = false;
      const next = (): void => {
        ready = true;
        if (looping) return;
        looping = true;
        while (ready && !subscriber.closed) {
          ready = false;
          if (index === works.length) {
            commit();
            return;
          }
          process(works[index++] as OutboxWork);
        }
        looping = false;
      };
      const answer = (given: OutboxAnswer): void => {
        answers.push(given);
        next();
      };
      const process = (work: OutboxWork): void => {
        // Whose fate hangs on the one before it.
        if (seen.has(work.key)) {
          answer({ status: 'again' });
          return;
        }
        seen.add(work.key);
        const recorded = isNew[alone ? 0 : keys.indexOf(work.key)];
        if (recorded === undefined) answer({ status: 'failed', error: unanswered(work) });
        else if (!recorded) answer({ status: 'repeat' });
        else runPart(work, answer);
      };
      next();
    };

    const runPart = (work: OutboxWork, answer: (given: OutboxAnswer) => void): void => {
      const { delivery } = work;
      if (!delivery.epoch.live) {
        forget.push(work.key);
        answer({ status: 'dropped' });
        return;
      }
      const part = (transaction as OutboxTransaction<unknown>).begin(alone);
      const undone = (given: OutboxAnswer): void => {
        forget.push(work.key);
        if (alone) answer(given);
        else
          call(
            'working',
            work,
            () => part.undo(),
            () => answer(given),
          );
      };
      begin(() =>
        runHandler(options, work, part, {
          done: (result, emitted) => {
            // Its transaction may fail yet, so a settlement of its own says too much.
            if (isSettled(delivery)) {
              undone({ status: 'dropped' });
              return;
            }
            const kept = (): void => {
              someDone = true;
              messages.push(...emitted);
              answer({ status: 'done', result });
            };
            if (alone) kept();
            else call('working', work, () => part.keep(), kept);
          },
          failed: (error) => {
            if (error instanceof OutboxTimeout || options.store.faultOf(error) !== null) {
              rollBack(new GroupFailure('working', error, work));
            } else undone({ status: 'failed', error });
          },
        }),
      );
    };

    call(
      'opening',
      null,
      () => options.store.transaction((works[0] as OutboxWork).consumer),
      (opened) => {
        if (opened === undefined) {
          subscriber.error(new GroupFailure('opening', noTransaction(), null));
          return;
        }
        transaction = opened;
        open = true;
        call(
          'opening',
          null,
          () => opened.record(keys),
          (isNew = []) => runAll(isNew),
        );
      },
    );

    return () => {
      running?.unsubscribe();
      if (!open || transaction === null) return;
      open = false;
      // Cut off in the middle: a statement may be under way.
      try {
        from(transaction.rollBack(true)).subscribe({ error: () => undefined });
      } catch {
        // Nobody is left to be told.
      }
    };
  });
}

function noTransaction(): SluiceError {
  return new SluiceError('store-failed', 'withOutbox: the outbox store gave no transaction.');
}

function unanswered({ delivery: { id } }: OutboxWork): SluiceError {
  return new SluiceError('store-failed', `withOutbox: the outbox store gave no answer for the key of ${id}.`, {
    details: { id },
  });
}
