import {
  catchError,
  concat,
  defer,
  exhaustMap,
  from,
  ignoreElements,
  interval,
  mergeMap,
  Observable,
  of,
  share,
  timeout,
  timer,
  type Subscription,
} from 'rxjs';
import { exponential } from '../../core/backoff.js';
import type { PostgresPoolClientLike } from './postgres-client.js';
import { isLeftOpen } from './postgres-connection.js';

/** The part of a pg `Pool` that listens. @public */
export interface PostgresListenLike {
  /** Takes a connection out of the pool, for as long as a relay runs. */
  connect(): Promise<PostgresListenerLike>;
}

/** The part of a pg `PoolClient` that listens. @public */
export interface PostgresListenerLike {
  /** Runs a statement. */
  query(query: { text: string }): Promise<unknown>;
  /** Whether a transaction is open: `I` none, `T` one, `E` one that has failed. Newer versions of pg 8 have it. */
  getTransactionStatus?(): string | null;
  /** Closes the connection. */
  release(destroy?: boolean): void;
  /** A NOTIFY came, the connection broke, or it ended. */
  on(event: 'notification' | 'error' | 'end', listener: (error: Error) => void): unknown;
  /** Ends the listening. */
  removeListener(event: 'notification' | 'error' | 'end', listener: (error: Error) => void): unknown;
}

const BEAT_MS = 30_000;
const ANSWER_MS = 10_000;

/**
 * Emits at each NOTIFY on the channel, and once it listens (again): what came meanwhile is not told. A connection that is
 * lost is mended, also one that is silently dead: it is asked for a sign of life. Never errors; one connection for all who subscribe.
 * @internal
 */
export function wakeUpsOf(pool: PostgresListenLike, channel: string): Observable<unknown> {
  const backoff = exponential({ initialMs: 100, maxMs: 5_000 });
  let failures = 0;
  const listening = (): Observable<unknown> =>
    listen(pool, channel, () => {
      failures = 0;
    }).pipe(
      catchError(() => of(null).pipe(ignoreElements())),
      (heard) =>
        concat(
          heard,
          defer(() => timer(backoff(++failures)).pipe(mergeMap(listening))),
        ),
    );
  return defer(listening).pipe(share());
}

function listen(pool: PostgresListenLike, channel: string, started: () => void): Observable<unknown> {
  return new Observable((subscriber) => {
    let client: PostgresListenerLike | null = null;
    let released = false;
    let beating: Subscription | null = null;
    const heard = (): void => subscriber.next(null);
    const lost = (): void => subscriber.complete();
    const release = (): void => {
      if (client === null || released) return;
      released = true;
      beating?.unsubscribe();
      client.removeListener('notification', heard);
      client.removeListener('end', lost);
      client.release(true);
    };
    const begin = async (): Promise<void> => {
      client = await pool.connect();
      client.on('error', lost);
      client.on('end', lost);
      client.on('notification', heard);
      if (subscriber.closed) release();
      else {
        // There it would take effect with a COMMIT that nobody sends.
        if (isLeftOpen(client)) await client.query({ text: 'ROLLBACK' });
        await client.query({ text: `LISTEN ${channel}` });
      }
    };
    begin().then(
      () => {
        if (subscriber.closed || client === null) return;
        started();
        beating = beatsOf(client).subscribe({ error: lost });
        subscriber.next(null);
      },
      () => subscriber.complete(),
    );
    return release;
  });
}

/** Errors where there is no sign of life: a connection that a firewall has dropped neither ends nor fails by itself. */
function beatsOf(client: PostgresListenerLike): Observable<unknown> {
  return interval(BEAT_MS).pipe(exhaustMap(() => from(client.query({ text: 'SELECT 1' })).pipe(timeout(ANSWER_MS))));
}

/** @internal */
export function canListen(value: unknown): boolean {
  return typeof (value as Partial<PostgresPoolClientLike & PostgresListenLike> | null)?.connect === 'function';
}
