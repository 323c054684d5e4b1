import { catchError, mergeMap, Observable, retry, throwError, timeout, timer } from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { endStatement, named } from './postgres-backend.js';
import type { Connections, PostgresConnection } from './postgres-connection.js';
import { isUnanswered } from './postgres-faults.js';
import { isBroken, isRolledBack, postgresError, tooLate, type PostgresCall } from './postgres-errors.js';

const MAX_RERUNS = 10;
const rerunWait = { initialMs: 10, maxMs: 500 };

/**
 * Runs one statement, a transaction of its own: within `timeoutMs`, the wait for a connection included. What the server
 * rolled back for the sake of another transaction is run again. Unsubscribed in the middle, it may still take effect.
 * @internal
 */
export function runStatement(
  connections: Connections,
  call: PostgresCall,
  timeoutMs: number,
  sql: string,
  parameters: readonly unknown[],
): Observable<readonly unknown[]> {
  const backoff = exponential(rerunWait);
  return connections.pipe(
    mergeMap((connection) => runOn(connections, connection, named(sql), parameters)),
    retry({
      count: MAX_RERUNS,
      delay: (error: unknown, failures) => (isRolledBack(error) ? timer(backoff(failures)) : throwError(() => error)),
    }),
    timeout({ first: timeoutMs, with: () => throwError(() => tooLate(call, timeoutMs)) }),
    catchError((error: unknown) => throwError(() => postgresError(call, error))),
  );
}

function runOn(
  connections: Connections,
  connection: PostgresConnection,
  sql: string,
  parameters: readonly unknown[],
): Observable<readonly unknown[]> {
  return new Observable((subscriber) => {
    let running = true;
    const end = (broken: boolean): void => {
      if (!running) return;
      running = false;
      connection.release(broken);
    };
    // Nobody waits for the answer any more: a connection that is stuck is closed, and makes room in the pool.
    const giveUp = (): void => {
      if (!running) return;
      running = false;
      connection.release(true, (over) => endStatement(connections, sql, over));
    };
    connection.query(sql, parameters).then(
      (rows) => {
        end(false);
        subscriber.next(rows);
        subscriber.complete();
      },
      (error: unknown) => {
        if (isUnanswered(error)) giveUp();
        else end(isBroken(error));
        subscriber.error(error);
      },
    );
    return giveUp;
  });
}
