import { concat, map, mergeMap, of, timer, type Observable } from 'rxjs';
import type { Delivery } from '../../lib/index.js';
import type { SourceRequest, SourceTestBed } from '../../lib/testing.js';

export type Raw = Delivery<Uint8Array | null>;
/** Stands between a source and the suite. */
export type Change = (bed: SourceTestBed, request: SourceRequest) => Observable<Raw>;

/** The delivery with some members replaced; operators still know it for one. */
export function altered(delivery: Raw, members: Readonly<Record<string, unknown>>): Raw {
  return new Proxy(delivery, {
    get: (target, name) =>
      typeof name === 'string' && name in members ? members[name] : (Reflect.get(target, name, target) as unknown),
  });
}

export const each =
  (change: (delivery: Raw) => Raw): Change =>
  (bed, request) =>
    bed.source(request).pipe(map(change));

/** Acked upward at once; what is done with it below changes nothing. */
export const acksEarly: Change = each((delivery) => {
  delivery.ack();
  const nothing = (): void => undefined;
  return altered(delivery, { ack: nothing, nack: nothing, settle: nothing, fail: nothing, abandon: nothing });
});

/** Gives what is not acked once more after a while, as a queue whose deadline is not kept. */
export const givesTwice =
  (afterMs: number): Change =>
  (bed, request) =>
    bed.source(request).pipe(mergeMap((delivery) => concat(of(delivery), timer(afterMs).pipe(map(() => delivery)))));
