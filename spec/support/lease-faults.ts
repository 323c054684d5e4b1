import {
  defer,
  delay,
  from,
  ignoreElements,
  concat,
  map,
  NEVER,
  throwError,
  timer,
  concatMap,
  type Observable,
} from 'rxjs';
import type { LeaseStore } from '../../lib/core/lease-store.js';

export type LeaseCall = keyof LeaseStore;

/**
 * What befalls a call: `'fails'` and `'hangs'` do nothing; the others do it, and lose the answer, or tell of every write that
 * it was not made.
 */
export type LeaseFault = 'fails' | 'hangs' | 'done and fails' | 'done and hangs' | 'done and denied';

export interface FaultyLeases extends LeaseStore {
  /** Asked for each call; `null` lets it through. */
  fault: (call: LeaseCall) => LeaseFault | null;
  /** How long an answer is on its way; the call takes effect in the middle. */
  latencyMs: number;
  readonly calls: LeaseCall[];
}

const LEASES_OUT = new Error('the lease store is out');

/** A store as one worker sees it, with faults. */
export function faultyLeases(store: LeaseStore): FaultyLeases {
  const broken = <A>(call: LeaseCall, work: () => Observable<A>, denied?: A): Observable<A> =>
    defer(() => {
      leases.calls.push(call);
      const slow = defer(() => {
        if (leases.latencyMs === 0) return work();
        return timer(leases.latencyMs / 2).pipe(concatMap(work), delay(leases.latencyMs / 2));
      });
      switch (leases.fault(call)) {
        case null:
          return slow;
        case 'fails':
          return throwError(() => LEASES_OUT);
        case 'hangs':
          return NEVER;
        case 'done and fails':
          return concat(
            slow.pipe(ignoreElements()),
            throwError(() => LEASES_OUT),
          );
        case 'done and hangs':
          return concat(slow.pipe(ignoreElements()), NEVER);
        case 'done and denied':
          return slow.pipe(map((answer) => denied ?? answer));
      }
    });

  const leases: FaultyLeases = {
    fault: () => null,
    latencyMs: 0,
    calls: [],
    list: (group) => broken('list', () => from(store.list(group))),
    add: (group, rows) => broken('add', () => from(store.add(group, rows))),
    write: (group, rows) =>
      broken(
        'write',
        () => from(store.write(group, rows)),
        rows.map(() => false),
      ),
    remove: (group, rows) => broken('remove', () => from(store.remove(group, rows))),
  };
  return leases;
}

/** As long as it stands for a process that is gone, or cut off: nothing of it reaches the store. */
export function cutOff(leases: FaultyLeases): void {
  leases.fault = () => 'hangs';
}
