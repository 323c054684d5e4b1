import {
  catchError,
  concat,
  concatMap,
  defer,
  EMPTY,
  from,
  ignoreElements,
  last,
  mergeMap,
  Observable,
  of,
  throwError,
  toArray,
  type ObservableInput,
} from 'rxjs';
import { isSettled } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { OutboxStore } from '../core/outbox-store.js';
import type { OutboxEnd, OutboxTransaction } from '../core/outbox-transaction.js';
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

interface Part {
  readonly answer: OutboxAnswer;
  readonly messages: readonly OutboxMessage[];
  /** Its key was recorded in vain. */
  readonly forget: boolean;
}

const NONE: readonly OutboxMessage[] = [];

/**
 * Runs works in one transaction, one after another, a failing one rolled back alone. One answer a work, in order, once
 * it is committed; errors with a `GroupFailure` after everything was rolled back.
 * @internal
 */
export function runInOneTransaction(
  options: OutboxGroupOptions,
  works: readonly OutboxWork[],
): Observable<readonly OutboxAnswer[]> {
  const { store } = options;
  const { consumer } = works[0] as OutboxWork;
  return store.transaction(consumer).pipe(
    catchError((error: unknown) => throwError(() => new GroupFailure('opening', error, null))),
    concatMap((transaction) => owned(transaction, (life) => workIn(options, works, life))),
  );
}

interface Life {
  readonly transaction: OutboxTransaction<unknown>;
  commit(end: OutboxEnd): Observable<unknown>;
  rollBack(): Observable<never>;
}

/** Ends the transaction whatever happens: with a rollback before an error is told, and where nobody listens any more. */
function owned<R>(transaction: OutboxTransaction<unknown>, use: (life: Life) => Observable<R>): Observable<R> {
  return new Observable((subscriber) => {
    let ended = false;
    const rollBack = (broken: boolean): Observable<never> =>
      defer(() => {
        if (ended) return EMPTY;
        ended = true;
        return transaction.rollBack(broken);
      }).pipe(
        catchError(() => EMPTY),
        ignoreElements(),
      );
    const life: Life = {
      transaction,
      commit: (end) =>
        defer(() => {
          ended = true;
          return transaction.commit(end);
        }),
      rollBack: () => rollBack(false),
    };
    const isStuck = (error: unknown): boolean => error instanceof GroupFailure && error.error instanceof OutboxTimeout;
    const subscription = use(life)
      .pipe(
        catchError((error: unknown) =>
          concat(
            rollBack(isStuck(error)),
            throwError(() => error),
          ),
        ),
      )
      .subscribe(subscriber);
    return () => {
      subscription.unsubscribe();
      // Cut off in the middle: a statement may be under way.
      rollBack(true).subscribe({ error: () => undefined });
    };
  });
}

function workIn(
  options: OutboxGroupOptions,
  works: readonly OutboxWork[],
  { transaction, commit, rollBack }: Life,
): Observable<readonly OutboxAnswer[]> {
  const keys = [...new Set(works.map(({ key }) => key))];
  const record = called(() => transaction.record(keys), 'opening').pipe(last(undefined, []));
  return record.pipe(
    concatMap((isNew: readonly boolean[]) => {
      const first = new Set<string>();
      return from(works).pipe(
        concatMap((work) => {
          // Whose fate hangs on the one before it.
          if (first.has(work.key)) return of(nothing({ status: 'again' }));
          first.add(work.key);
          const recorded = isNew[keys.indexOf(work.key)];
          if (recorded === undefined) return of(nothing({ status: 'failed', error: unanswered(work) }));
          if (!recorded) return of(nothing({ status: 'repeat' }));
          return runPart(options, work, transaction, works.length === 1);
        }),
        toArray(),
      );
    }),
    concatMap((parts) => {
      const answers = parts.map(({ answer }) => answer);
      if (!answers.some(({ status }) => status === 'done')) return concat(rollBack(), of(answers));
      const messages = parts.flatMap((part) => part.messages);
      const forget = works.filter((_, index) => parts[index]?.forget).map(({ key }) => key);
      return concat(called(() => from(commit({ messages, forget })), 'committing').pipe(ignoreElements()), of(answers));
    }),
  );
}

function runPart(
  options: OutboxGroupOptions,
  work: OutboxWork,
  transaction: OutboxTransaction<unknown>,
  alone: boolean,
): Observable<Part> {
  const { delivery } = work;
  if (!delivery.epoch.live) return of({ answer: { status: 'dropped' }, messages: NONE, forget: true });
  const part = transaction.begin(alone);
  const undone = (answer: OutboxAnswer): Observable<Part> => {
    const undo = alone ? EMPTY : called(() => part.undo(), 'working', work).pipe(ignoreElements());
    return concat(undo, of({ answer, messages: NONE, forget: true }));
  };
  return runHandler(options, work, part).pipe(
    mergeMap(({ result, messages }): Observable<Part> => {
      // Its transaction may fail yet, so a settlement of its own says too much.
      if (isSettled(delivery)) return undone({ status: 'dropped' });
      return of({ answer: { status: 'done', result }, messages, forget: false });
    }),
    catchError((error: unknown) => {
      if (error instanceof GroupFailure) return throwError(() => error);
      if (error instanceof OutboxTimeout || options.store.faultOf(error) !== null) {
        return throwError(() => new GroupFailure('working', error, work));
      }
      return undone({ status: 'failed', error });
    }),
  );
}

function called<R>(
  call: () => ObservableInput<R>,
  phase: GroupFailure['phase'],
  work: OutboxWork | null = null,
): Observable<R> {
  return defer(call).pipe(catchError((error: unknown) => throwError(() => new GroupFailure(phase, error, work))));
}

function nothing(answer: OutboxAnswer): Part {
  return { answer, messages: NONE, forget: false };
}

function unanswered({ delivery: { id } }: OutboxWork): SluiceError {
  return new SluiceError('store-failed', `withOutbox: the outbox store gave no answer for the key of ${id}.`, {
    details: { id },
  });
}
