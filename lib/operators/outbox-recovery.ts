import { catchError, concatMap, from, map, of, tap, throwError, timer, toArray, type Observable } from 'rxjs';
import { exponential } from '../core/backoff.js';
import { transient } from '../core/failures.js';
import { isInstance } from '../core/is-instance.js';
import {
  faultOf,
  GroupFailure,
  runInOneTransaction,
  type OutboxAnswer,
  type OutboxGroupOptions,
} from './outbox-group.js';
import type { OutboxPace } from './outbox-pace.js';
import { OutboxTimeout, type OutboxWork } from './outbox-work.js';

const MAX_CONFLICTS = 10;
// A message whose handler loses each connection it is given is no outage.
const MAX_LOSSES = 5;
const conflictWait = { initialMs: 10, maxMs: 500 };

/**
 * Runs works in one transaction and, where that failed, each in one of its own: conflicts and lost connections say
 * nothing of a message. Conflicts narrow the pace. One answer a work, in order; errors where the store is out.
 * @internal
 */
export function runGroup(
  options: OutboxGroupOptions,
  works: readonly OutboxWork[],
  pace: OutboxPace,
): Observable<readonly OutboxAnswer[]> {
  const { step } = pace;
  const answers = runTogether(options, works, () => pace.conflict(step));
  return pace.listens ? answers.pipe(tap(() => pace.wentWell(step))) : answers;
}

function runTogether(
  options: OutboxGroupOptions,
  works: readonly OutboxWork[],
  conflict: () => void,
): Observable<readonly OutboxAnswer[]> {
  const [first, ...others] = works as readonly [OutboxWork, ...OutboxWork[]];
  if (others.length === 0) return runAlone(options, first);
  if (others.some(({ consumer }) => consumer !== first.consumer)) return singly(options, works);
  return runInOneTransaction(options, works).pipe(
    catchError((failure: unknown) => {
      if (!isInstance(failure, GroupFailure) || isOut(options, failure)) return throwError(() => causeOf(failure));
      const { error, work } = failure;
      if (faultOf(options.store, error) === 'conflict') conflict();
      const late = isInstance(error, OutboxTimeout) ? work : null;
      const rest = works.filter((each) => each !== late);
      return singly(options, rest).pipe(
        map((answers) => {
          const left = [...answers];
          return works.map((each): OutboxAnswer => {
            if (each !== late) return left.shift() as OutboxAnswer;
            return { status: 'failed', error: (error as OutboxTimeout).failure };
          });
        }),
      );
    }),
  );
}

function singly(options: OutboxGroupOptions, works: readonly OutboxWork[]): Observable<readonly OutboxAnswer[]> {
  let out = false;
  return from(works).pipe(
    concatMap((work) => {
      if (out) return of<readonly OutboxAnswer[]>([{ status: 'again' }]);
      return runAlone(options, work).pipe(
        catchError(() => {
          // What is committed stays; the next call finds out for how long the store is out.
          out = true;
          return of<readonly OutboxAnswer[]>([{ status: 'again' }]);
        }),
      );
    }),
    concatMap((answers) => answers),
    toArray(),
  );
}

function runAlone(options: OutboxGroupOptions, work: OutboxWork): Observable<readonly OutboxAnswer[]> {
  const backoff = exponential(conflictWait);
  let conflicts = 0;
  const attempt = (): Observable<readonly OutboxAnswer[]> =>
    runInOneTransaction(options, [work]).pipe(
      catchError((failure: unknown) => {
        if (!isInstance(failure, GroupFailure)) return throwError(() => failure);
        const isConflict = faultOf(options.store, failure.error) === 'conflict';
        if (isConflict && conflicts < MAX_CONFLICTS) return timer(backoff(++conflicts)).pipe(concatMap(attempt));
        if (isOut(options, failure)) return throwError(() => failure.error);
        return of([answerTo(options, work, failure)]);
      }),
    );
  return attempt();
}

function answerTo(options: OutboxGroupOptions, work: OutboxWork, { error }: GroupFailure): OutboxAnswer {
  if (isInstance(error, OutboxTimeout)) return { status: 'failed', error: error.failure };
  const fault = faultOf(options.store, error);
  if (fault === null) return { status: 'failed', error };
  if (fault === 'unavailable' && ++work.losses >= MAX_LOSSES) return { status: 'failed', error: transient(error) };
  return { status: 'again' };
}

/** Whether it is the store that is out. A connection that was lost later may be the handler's doing; the next one will show. */
function isOut({ store }: OutboxGroupOptions, { phase, error }: GroupFailure): boolean {
  return phase === 'opening' && faultOf(store, error) !== 'conflict';
}

function causeOf(failure: unknown): unknown {
  return isInstance(failure, GroupFailure) ? failure.error : failure;
}
