import { memoryOutboxStore, type MemoryTransaction } from 'rxsluice/memory';
import type { QuakeDatabase } from './quake-database.js';

/** A table in this process. */
export function memoryDatabase(): QuakeDatabase<MemoryTransaction> {
  const outbox = memoryOutboxStore();
  return {
    name: 'a table in memory',
    outbox,
    save: (tx, quake) => Promise.resolve(tx.set(quake.id, quake)),
    count: () => Promise.resolve(outbox.table.size),
  };
}
