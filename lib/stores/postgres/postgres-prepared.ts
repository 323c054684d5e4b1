import type { Backend } from './postgres-backend.js';
import type { PostgresPoolClientLike } from './postgres-client.js';

/** A statement that each message needs: its plan takes longer than its run. @internal */
export interface PreparedSql {
  /** Says what it does, so that no other can have it. */
  readonly name: string;
  /** From the list of its types on. */
  readonly sql: string;
}

/**
 * Which connections have our statements prepared. Only those that lead to one process of the server for good: behind a pooler
 * such as PgBouncer each transaction may be in another one, and the number that the client was told is the pooler's own.
 * @internal
 */
export interface PreparedConnections {
  /** The process behind the connection, where it has them; prepares them where the last transaction showed that it can. */
  ready(client: PostgresPoolClientLike): Promise<Backend | null>;
  /** A transaction on it was in that process. */
  seen(client: PostgresPoolClientLike, backend: Backend | null): void;
  /** They are gone: somebody has discarded them. Never again on this one. */
  gone(client: PostgresPoolClientLike): void;
}

const ALREADY = '42P05';

/** @internal */
export function preparedConnections(statements: readonly PreparedSql[]): PreparedConnections {
  const states = new WeakMap<object, 'direct' | 'never' | Backend>();

  const prepare = async (client: PostgresPoolClientLike): Promise<Backend | null> => {
    try {
      for (const { name, sql } of statements) {
        await client.query(`PREPARE ${name} ${sql}`).catch((error: unknown) => {
          if ((error as { readonly code?: unknown }).code !== ALREADY) throw error;
        });
      }
      const { rows } = await client.query(
        'SELECT pid, extract(epoch FROM backend_start)::text AS began FROM pg_stat_activity WHERE pid = pg_backend_pid()',
      );
      const { pid, began } = rows[0] as { readonly pid: unknown; readonly began: string };
      const backend: Backend = { pid: Number(pid), began, since: 'backend_start' };
      states.set(client, backend);
      return backend;
    } catch {
      // Whatever it is, the statement that is not prepared meets it too.
      states.set(client, 'never');
      return null;
    }
  };

  return {
    ready: async (client) => {
      const state = states.get(client);
      if (state === undefined || state === 'never') return null;
      return state === 'direct' ? prepare(client) : state;
    },
    seen: (client, backend) => {
      if (backend === null || states.has(client)) return;
      states.set(client, client.processID === backend.pid ? 'direct' : 'never');
    },
    gone: (client) => void states.set(client, 'never'),
  };
}
