import { map, of, switchMap, tap, type Observable } from 'rxjs';
import { callService } from './pubsub-sender.js';

/** What gives the clients of the service, one for each part of it. @internal */
export interface PubSubClientsLike<N extends string> {
  getClientAsync_?(config: { client: N }): Promise<unknown>;
}

interface ClientLike {
  initialize(): Promise<unknown>;
}

/**
 * The client of the service, once it has its credentials. Without, its first call would leave a rejection beside its error that
 * nobody handles, and Node.js ends. A client that got none keeps that for good, so it is let go: whoever tries again has another.
 * @internal
 */
export function readyClient<N extends string>(
  pubsub: PubSubClientsLike<N>,
  name: N,
  timeoutMs: number,
): Observable<unknown> {
  const letGo = (client: ClientLike): void => {
    const { api } = pubsub as { readonly api?: Record<string, unknown> };
    if (api !== undefined && api[name] === client) Reflect.deleteProperty(api, name);
  };
  if (pubsub.getClientAsync_ === undefined) return of(undefined);
  return callService(timeoutMs, () => (pubsub as Required<typeof pubsub>).getClientAsync_({ client: name })).pipe(
    map((client) => client as ClientLike),
    switchMap((client) =>
      callService(timeoutMs, () => client.initialize()).pipe(
        tap({ error: () => letGo(client) }),
        map(() => client),
      ),
    ),
  );
}
