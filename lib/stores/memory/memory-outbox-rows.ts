import { defer, of, type Observable } from 'rxjs';
import { environment } from '../../core/environment.js';
import type { OutboxMessage } from '../../core/outbox-message.js';
import type { OutboxLease, OutboxRow } from '../../core/outbox-row.js';
import type { OutboxClaim, OutboxStore } from '../../core/outbox-store.js';
import { ownBytes, ownHeaders } from '../../core/own-message.js';

/** A message in a memory outbox. @public */
export interface MemoryOutboxMessage extends OutboxMessage {
  /** The same each time it is published. */
  readonly messageId: string;
  /** How many attempts were made, those under way included. */
  readonly attempts: number;
  /** Why it is dead; `null`: it is not. */
  readonly error: string | null;
}

/** @internal */
export interface MemoryOutboxRows extends Pick<
  OutboxStore,
  'claim' | 'renew' | 'published' | 'dead' | 'release' | 'lag'
> {
  readonly size: number;
  /** Of keys and values. */
  readonly bytes: number;
  append(messages: readonly OutboxMessage[]): void;
  messages(): MemoryOutboxMessage[];
}

interface Stored {
  readonly row: Omit<OutboxRow, 'token' | 'attempt'>;
  readonly message: OutboxMessage;
  readonly bytes: number;
  token: string;
  attempts: number;
  leasedUntil: number;
  error: string | null;
}

/** What is not published yet, and what is dead; published rows are gone at once. @internal */
export function memoryOutboxRows(): MemoryOutboxRows {
  const encoder = new TextEncoder();
  const rows = new Map<string, Stored>();
  // Rows that went a moment ago, so that to mark them twice is no loss of a lease.
  const gone = new Map<string, string>();
  let bytesOfAll = 0;
  let ids = 0;
  let tokens = 0;

  const bytesOf = (value: Uint8Array | string | null | undefined): Uint8Array | null =>
    typeof value === 'string' ? encoder.encode(value) : (value ?? null);

  const append = (message: OutboxMessage): void => {
    const id = String(++ids);
    const [key, value] = [bytesOf(message.key), bytesOf(message.value)];
    const { topic, headers = {}, partition = null, timestamp = null } = message;
    const bytes = (key?.length ?? 0) + (value?.length ?? 0);
    bytesOfAll += bytes;
    rows.set(id, {
      row: {
        id,
        messageId: `memory-${id}`,
        topic,
        lane: key === null ? null : JSON.stringify([topic, ...key]),
        key,
        value,
        headers,
        partition,
        timestamp,
        storedAt: environment.wallClock(),
      },
      message,
      bytes,
      token: '',
      attempts: 0,
      leasedUntil: 0,
      error: null,
    });
  };

  const claim = ({ limit, perLane, maxBytes, leaseMs }: OutboxClaim, now: number): OutboxRow[] => {
    const token = String(++tokens);
    const counts = new Map<string, number>();
    const claimed: OutboxRow[] = [];
    let bytes = 0;
    for (const stored of rows.values()) {
      if (stored.error !== null) continue;
      const { lane } = stored.row;
      const count = lane === null ? 0 : (counts.get(lane) ?? 0);
      if (stored.leasedUntil > now) {
        // It ends the run of its lane.
        if (lane !== null) counts.set(lane, Infinity);
        continue;
      }
      if (count >= perLane) continue;
      bytes += stored.bytes;
      if (claimed.length > 0 && bytes > maxBytes) break;
      if (lane !== null) counts.set(lane, count + 1);
      Object.assign(stored, { token, attempts: stored.attempts + 1, leasedUntil: now + leaseMs });
      // As a database gives its rows: what is done to the bytes of one claim is not seen by the next.
      claimed.push({ ...stored.row, ...ownBytesOf(stored.row), token, attempt: stored.attempts });
      if (claimed.length >= limit) break;
    }
    return claimed;
  };

  const onOwned = (leases: readonly OutboxLease[], act: (stored: Stored, index: number) => void): boolean[] =>
    leases.map(({ id, token }, index) => {
      const stored = rows.get(id);
      if (stored === undefined || stored.token !== token || stored.error !== null) return false;
      act(stored, index);
      return true;
    });

  return {
    get size() {
      return rows.size;
    },
    get bytes() {
      return bytesOfAll;
    },
    append: (messages) => messages.forEach(append),
    messages: () =>
      [...rows.values()].map(({ message, row: { messageId }, attempts, error }) => ({
        ...message,
        messageId,
        attempts,
        error,
      })),
    claim: (options) => answering((now) => claim(options, now)),
    renew: (leases, leaseMs) =>
      answering((now) => onOwned(leases, (stored) => void (stored.leasedUntil = now + leaseMs))),
    published: (leases) =>
      answering(() =>
        leases.map(({ id, token }) => {
          const stored = rows.get(id);
          if (stored?.token === token && stored.error === null) {
            rows.delete(id);
            bytesOfAll -= stored.bytes;
            remember(gone, id, token);
          }
          return gone.get(id) === token;
        }),
      ),
    dead: (burials) =>
      answering(() =>
        burials.map(({ id, token, error }) => {
          const stored = rows.get(id);
          if (stored?.token !== token) return false;
          stored.error ??= error;
          return true;
        }),
      ),
    release: (returns) =>
      answering(() =>
        onOwned(returns, (stored, index) => {
          const attempts = returns[index]?.attempts ?? stored.attempts;
          Object.assign(stored, { token: '', leasedUntil: 0, attempts });
        }),
      ),
    lag: () =>
      answering(() => {
        const waiting = [...rows.values()].filter(({ error }) => error === null);
        const [oldest] = waiting;
        const oldestMs = oldest === undefined ? 0 : environment.wallClock() - oldest.row.storedAt;
        return { rows: waiting.length, more: false, oldestMs };
      }),
  };
}

function ownBytesOf({ key, value, headers }: Stored['row']): Pick<OutboxRow, 'key' | 'value' | 'headers'> {
  return { key: ownBytes(key), value: ownBytes(value), headers: ownHeaders(headers) };
}

const MAX_GONE = 10_000;

function remember(gone: Map<string, string>, id: string, token: string): void {
  gone.set(id, token);
  const [oldest] = gone.keys();
  if (gone.size > MAX_GONE && oldest !== undefined) gone.delete(oldest);
}

function answering<A>(answer: (now: number) => A): Observable<A> {
  return defer(() => of(answer(environment.now())));
}
