import { defer, EMPTY, filter, map, of, Subject, take, type Observable } from 'rxjs';
import { SluiceError } from '../../core/errors.js';
import { checkNames, checkOptions } from '../../core/options.js';
import type { OutboxStore } from '../../core/outbox-store.js';
import type { OutboxTransaction } from '../../core/outbox-transaction.js';
import { memoryOutboxRows, type MemoryOutboxMessage, type MemoryOutboxRows } from './memory-outbox-rows.js';
import { memoryChanges, type MemoryTransaction } from './memory-transaction.js';

const MIB = 1024 * 1024;

/** The bounds of a memory outbox. @public */
export interface MemoryOutboxStoreOptions {
  /** How many messages may wait, dead ones included; above that transactions that emit wait. At least 1. Default: 100,000. */
  readonly maxRows?: number;
  /** How many processed keys are remembered; the oldest are forgotten first. At least 1. Default: 100,000. */
  readonly maxKeys?: number;
  /**
   * How many bytes may wait, in keys and values of messages, and how many processed keys may take, two for each UTF-16 unit. Each by
   * itself: above it transactions that emit wait, and the oldest keys are forgotten. One transaction may pass it. At least 1. Default:
   * 64 MiB.
   */
  readonly maxBytes?: number;
}

/** An outbox in this process, and what is in it, for tests. @public */
export interface MemoryOutboxStore extends OutboxStore<MemoryTransaction> {
  /** What handlers have written and committed. */
  readonly table: ReadonlyMap<string, unknown>;
  /** What waits to be published, and what is dead; in its order. */
  messages(): readonly MemoryOutboxMessage[];
}

/**
 * An outbox in this process: the transactions and the order of one in a database, without one, and in virtual time too. It is
 * for tests and for what may be lost with the process. Of two transactions that write one name, the last to commit wins.
 * @public
 */
export function memoryOutboxStore(options: MemoryOutboxStoreOptions = {}): MemoryOutboxStore {
  checkNames('memoryOutboxStore', options, ['maxRows', 'maxKeys', 'maxBytes']);
  const { maxRows = 100_000, maxKeys = 100_000, maxBytes = 64 * MIB } = options;
  checkOptions(
    'memoryOutboxStore',
    { maxRows, maxKeys, maxBytes },
    {
      maxRows: { integer: true, min: 1 },
      maxKeys: { integer: true, min: 1 },
      maxBytes: { integer: true, min: 1 },
    },
  );
  const table = new Map<string, unknown>();
  const rows = memoryOutboxRows();
  const processed = new Set<string>();
  let processedBytes = 0;
  // Keys of open transactions: at most as many as are in credit.
  const open = new Set<string>();
  const closed = new Subject<void>();
  const stored = new Subject<void>();
  let full: SluiceError | null = null;

  const transaction = (consumer: string): OutboxTransaction<MemoryTransaction> => {
    const changes = memoryChanges(table);
    const mine = new Set<string>();
    const nameOf = (key: string): string => JSON.stringify([consumer, key]);
    const end = (): void => {
      changes.takeBack();
      for (const name of mine) open.delete(name);
      closed.next();
    };
    return {
      record: (keys) => {
        const names = keys.map(nameOf);
        const isFree = (): boolean => names.every((name) => mine.has(name) || !open.has(name));
        const free = defer(() => (isFree() ? of(null) : closed.pipe(filter(isFree), take(1))));
        return free.pipe(
          map(() =>
            names.map((name) => {
              if (processed.has(name) || mine.has(name)) return false;
              mine.add(name);
              open.add(name);
              return true;
            }),
          ),
        );
      },
      begin: () => {
        const mark = changes.length;
        let tx: MemoryTransaction | null = null;
        const undo = (): Observable<unknown> =>
          defer(() => {
            changes.takeBack();
            return of(changes.undo(mark));
          });
        const keep = (): Observable<never> =>
          defer(() => {
            changes.takeBack();
            return EMPTY;
          });
        return {
          get tx() {
            return (tx ??= changes.lend());
          },
          undo,
          keep,
        };
      },
      commit: ({ messages, forget }) =>
        defer(() => {
          if (messages.length > 0 && (rows.size + messages.length > maxRows || rows.bytes >= maxBytes)) {
            end();
            throw (full = tooMany(rows, maxRows, maxBytes));
          }
          changes.apply();
          rows.append(messages);
          const vain = new Set(forget.map(nameOf));
          for (const name of mine) {
            if (vain.has(name)) continue;
            processed.add(name);
            processedBytes += 2 * name.length;
          }
          for (const name of processed) {
            if (processed.size <= maxKeys && processedBytes <= maxBytes) break;
            processed.delete(name);
            processedBytes -= 2 * name.length;
          }
          end();
          if (messages.length > 0) stored.next();
          return of(null);
        }),
      rollBack: () =>
        defer(() => {
          end();
          return EMPTY;
        }),
    };
  };

  return {
    table,
    messages: () => rows.messages(),
    transaction: (consumer): Observable<OutboxTransaction<MemoryTransaction>> => defer(() => of(transaction(consumer))),
    faultOf: (error) => (error !== null && error === full ? 'unavailable' : null),
    claim: rows.claim,
    renew: rows.renew,
    published: rows.published,
    dead: rows.dead,
    release: rows.release,
    lag: rows.lag,
    wakeUps: stored,
  };
}

function tooMany({ size, bytes }: MemoryOutboxRows, maxRows: number, maxBytes: number): SluiceError {
  const text = `memoryOutboxStore: ${size} messages of ${bytes} bytes wait; maxRows is ${maxRows}, maxBytes ${maxBytes}.`;
  return new SluiceError('store-failed', text, { details: { size, bytes, maxRows, maxBytes } });
}
