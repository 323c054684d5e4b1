import type { LeaseStore } from '../core/lease-store.js';
import type { ConformanceTimings } from './conformance-timings.js';

/** One case's access to the store under test. What may be a Promise need not be one. @public */
export interface LeaseStoreTestBed {
  /** The store as one more worker has it: over a client of its own, or the same object where it is for one process. */
  worker(): LeaseStore;
  /** Ends what `open` began. */
  close?(): Promise<unknown> | void;
}

/** What the author of a lease store writes to have it checked by `leaseStoreConformance`. @public */
export interface LeaseStoreDriver {
  /** The store's name, for instance `postgresLeaseStore`. */
  readonly name: string;
  /** `withinMs` is what each call may take. Default: those of `ConformanceTimings`. */
  readonly timings?: Pick<ConformanceTimings, 'withinMs'>;
  /**
   * Called at the start of each case. All may have one table, for each case has consumers of its own; their rows stay, up to
   * 5 MB of them.
   */
  open(): Promise<LeaseStoreTestBed> | LeaseStoreTestBed;
}
