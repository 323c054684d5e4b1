import {
  asyncScheduler,
  defer,
  finalize,
  delay,
  from,
  NEVER,
  tap,
  throwError,
  type Observable,
  type ObservableInput,
} from 'rxjs';
import type { IdempotencyStore } from '../../lib/core/idempotency-store.js';
import { memoryIdempotencyStore } from '../../lib/stores/memory/memory-idempotency-store.js';

/** What comes between an operator and the store: the work is done when `call` is subscribed. */
export type StoreFault = (call: Observable<never>) => ObservableInput<never>;

export const STORE_OUTAGE = new Error('the store is out');

export const storeIsOut: StoreFault = () => throwError(() => STORE_OUTAGE);
export const storeThrows: StoreFault = () => {
  throw STORE_OUTAGE;
};
export const storeNeverAnswers: StoreFault = () => NEVER;
/** Does it and never says so. */
export const storeIsMute: StoreFault = (call) => defer(() => (call.subscribe(), NEVER));
/** Does it at once, says so later. */
export const storeAnswersAfter =
  (ms: number): StoreFault =>
  (call) =>
    call.pipe(delay(ms));
export const storeUntil =
  (ms: number, first: StoreFault): StoreFault =>
  (call) =>
    asyncScheduler.now() < ms ? first(call) : call;

type Call = keyof IdempotencyStore;

export interface FakeStore extends IdempotencyStore {
  /** Keys that are claimed and neither confirmed nor released, whether or not the answer arrived. */
  readonly held: Set<string>;
  readonly confirmed: Set<string>;
  readonly calls: { readonly at: number; readonly call: Call; readonly keys: readonly string[] }[];
  /** Calls that are neither answered nor given up. */
  pending: number;
  callsOf(call: Call): FakeStore['calls'];
}

/** The memory store behind a fault for each of its calls. */
export function fakeStore(faults: Partial<Record<Call, StoreFault>> = {}): FakeStore {
  const store = memoryIdempotencyStore();
  const answering = <A>(call: Call, keys: readonly string[], input: () => ObservableInput<A>): Observable<A> =>
    defer(() => {
      fake.calls.push({ at: asyncScheduler.now(), call, keys });
      fake.pending++;
      const fault = faults[call];
      const work: Observable<unknown> = defer(input);
      return (fault === undefined ? work : from(fault(work as Observable<never>))) as Observable<A>;
    }).pipe(finalize(() => fake.pending--));
  const fake: FakeStore = {
    held: new Set(),
    confirmed: new Set(),
    calls: [],
    pending: 0,
    callsOf: (wanted) => fake.calls.filter(({ call }) => call === wanted),
    claim: (keys, leaseMs) =>
      answering('claim', keys, () =>
        from(store.claim(keys, leaseMs)).pipe(
          tap((claims) => claims.forEach(({ status }, i) => status === 'claimed' && fake.held.add(keys[i] as string))),
        ),
      ),
    renew: (claims, leaseMs) => answering('renew', keysOf(claims), () => store.renew(claims, leaseMs)),
    confirm: (claims) =>
      answering('confirm', keysOf(claims), () =>
        from(store.confirm(claims)).pipe(
          tap((answers) =>
            keysOf(claims).forEach((key, i) => {
              if (!answers[i]) return;
              fake.held.delete(key);
              fake.confirmed.add(key);
            }),
          ),
        ),
      ),
    release: (claims) =>
      answering('release', keysOf(claims), () =>
        from(store.release(claims)).pipe(tap(() => keysOf(claims).forEach((key) => fake.held.delete(key)))),
      ),
  };
  return fake;
}

function keysOf(claims: readonly { readonly key: string }[]): readonly string[] {
  return claims.map(({ key }) => key);
}
