import { Subscription } from 'rxjs';
import type { Connections } from './postgres-connection.js';
import { isBroken } from './postgres-errors.js';

/** The process of the server that has a transaction, and when that or itself began: numbers are used again. @internal */
export interface Backend {
  readonly pid: number;
  readonly began: string;
  readonly since: 'xact_start' | 'backend_start';
}

const END_MS = 5_000;

/** What a first statement tells of the process that runs it, where it tells anything. @internal */
export function backendOf({ rows: [row] }: { readonly rows: readonly unknown[] }): Backend | null {
  const { pid, began } = (row ?? {}) as { readonly pid?: unknown; readonly began?: unknown };
  return pid === undefined || pid === null ? null : { pid: Number(pid), began: String(began), since: 'xact_start' };
}

/** Ends what runs in a transaction, over another connection. It is for nothing once that is `over`. @internal */
export function endBackend(
  connections: Connections,
  how: 'pg_cancel_backend' | 'pg_terminate_backend',
  { pid, began, since }: Backend,
  over?: Promise<boolean>,
): Promise<unknown> {
  const sql = `SELECT ${how}(pid) FROM pg_stat_activity WHERE pid = $1 AND extract(epoch FROM ${since})::text = $2`;
  return elsewhere(connections, sql, [pid, began], over);
}

/** The statement with a name of its own in front, by which `endStatement` finds it. @internal */
export function named(statement: string): string {
  return `/* rxsluice ${crypto.randomUUID()} */ ${statement}`;
}

/**
 * Cancels a `named` statement that nobody waits for any more. A server does not look at the connection while a statement runs: it
 * would wait on, and a lock that somebody holds for an hour would use up all connections of the server. It is for nothing once that is
 * `over`. @internal
 */
export function endStatement(connections: Connections, statement: string, over?: Promise<boolean>): Promise<unknown> {
  // The server shows the beginning of one that is long.
  const sql = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
    WHERE state = 'active' AND starts_with(query, $1) AND pid <> pg_backend_pid()`;
  return elsewhere(connections, sql, [statement.slice(0, statement.indexOf('*/'))], over);
}

/** Over another connection; tries for as long as somebody may wait for it. */
function elsewhere(
  connections: Connections,
  sql: string,
  parameters: readonly unknown[],
  over: Promise<boolean> | undefined,
): Promise<unknown> {
  return new Promise((resolve) => {
    const waiting = new Subscription();
    let sent = false;
    const end = (): void => {
      clearTimeout(timer);
      waiting.unsubscribe();
      resolve(null);
    };
    const timer = setTimeout(end, END_MS);
    void over?.then((isOver) => void (isOver && !sent && end()));
    waiting.add(
      connections.subscribe({
        next: (connection) => {
          sent = true;
          const ended = (broken: boolean): void => {
            connection.release(broken);
            end();
          };
          connection.query(sql, parameters).then(
            () => ended(false),
            (error: unknown) => ended(isBroken(error)),
          );
        },
        error: end,
      }),
    );
  });
}
