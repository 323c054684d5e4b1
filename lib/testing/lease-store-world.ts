import { defer, lastValueFrom, throwError, timeout, toArray, type ObservableInput } from 'rxjs';
import type { LeaseGroup, LeaseStore, ShardLease } from '../core/lease-store.js';
import { check } from './check.js';
import type { CaseDefinition } from './conformance-case.js';
import type { ResolvedTimings } from './conformance-timings.js';
import type { LeaseStoreDriver } from './lease-store-driver.js';

/** The store of one worker; each call ends within `withinMs`, and what it answers has the right shape. @internal */
export interface LeaseWorker {
  /** Sorted by shard. */
  list(group: LeaseGroup): Promise<readonly ShardLease[]>;
  add(group: LeaseGroup, leases: readonly ShardLease[]): Promise<void>;
  write(group: LeaseGroup, leases: readonly ShardLease[]): Promise<readonly boolean[]>;
  remove(group: LeaseGroup, leases: readonly Pick<ShardLease, 'shard' | 'counter'>[]): Promise<void>;
}

/** What a case of the suite of lease stores works with. @internal */
export interface LeaseStoreWorld {
  /** One more worker. */
  worker(): LeaseWorker;
  workers(count: number): readonly LeaseWorker[];
  /** A group that nobody else has. */
  group(): LeaseGroup;
}

/** @internal */
export type LeaseStoreCase = CaseDefinition<never, LeaseStoreWorld>;

/** Runs a case in a world of its own, and leaves nothing of it open. @internal */
export async function inLeaseStoreWorld(
  { open }: LeaseStoreDriver,
  { withinMs }: ResolvedTimings,
  body: (world: LeaseStoreWorld) => Promise<void>,
): Promise<void> {
  const bed = await open();
  const run = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  let groups = 0;
  const worker = (): LeaseWorker => workerOf(bed.worker(), withinMs);
  try {
    await body({
      worker,
      workers: (count) => Array.from({ length: count }, worker),
      group: () => ({ consumer: `conformance-${run}-${groups++}`, stream: 'stream' }),
    });
  } finally {
    await bed.close?.();
  }
}

function workerOf(store: LeaseStore, withinMs: number): LeaseWorker {
  const ended = <R>(name: string, call: () => ObservableInput<R>): Promise<R[]> =>
    lastValueFrom(
      defer(call).pipe(
        toArray(),
        timeout({ first: withinMs, with: () => throwError(() => new Error(`${name} took over ${withinMs} ms.`)) }),
      ),
    );
  const answer = async <R>(name: string, call: () => ObservableInput<readonly R[]>): Promise<readonly R[]> => {
    const answers = await ended(name, call);
    const [first] = answers;
    if (answers.length !== 1 || !Array.isArray(first)) {
      throw new Error(`${name} is to answer with one list, and did with ${answers.length} values.`);
    }
    return first as readonly R[];
  };
  return {
    list: async (group) => {
      const rows = await answer('list', () => store.list(group));
      return [...rows].sort((left, right) => (left.shard < right.shard ? -1 : 1));
    },
    add: async (group, leases) => {
      await ended('add', () => store.add(group, leases));
    },
    write: async (group, leases) => {
      const answers = await answer('write', () => store.write(group, leases));
      check(
        answers.length === leases.length && answers.every((each) => typeof each === 'boolean'),
        () => `write is to answer ${leases.length} rows with as many booleans, and answered: ${answers.join()}.`,
      );
      return answers;
    },
    remove: async (group, leases) => {
      await ended('remove', () => store.remove(group, leases));
    },
  };
}
