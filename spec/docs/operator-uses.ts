import * as rx from 'rxjs';
import { settling, type Delivery, type HandlerResult } from 'rxsluice';

export type D = Delivery<Uint8Array | null>;
export type Use = (source: rx.Observable<D>) => rx.Observable<unknown>;

const throwsOnce = (): rx.MonoTypeOperatorFunction<D> => {
  let thrown = false;
  return rx.tap(() => {
    if (thrown) return;
    thrown = true;
    throw new Error('once');
  });
};
const acked = rx.tap((delivery: D) => delivery.ack());

export interface Usage {
  /** `settling` runs this for each delivery, in the operators that take a function to an Observable. */
  readonly work: (value: Uint8Array | null) => HandlerResult<number>;
  /** After how many deliveries those end that end by count. */
  readonly take: number;
  readonly credits: number;
}

/** How the table means each operator to be used. */
export function usesOf({ work, take, credits }: Usage): Readonly<Record<string, Use>> {
  const settled = (delivery: D): rx.Observable<Delivery<number>> => settling(delivery, work);
  const skipped = (delivery: D): rx.Observable<Delivery<number>> => settling(delivery, work, { cancelled: 'skip' });
  return {
    map: rx.map((delivery) => delivery.value),
    tap: rx.tap(() => undefined),
    filter: rx.filter((_, index) => index % 2 === 0),
    take: rx.take(take),
    takeUntil: rx.takeUntil(rx.timer(0)),
    takeWhile: rx.takeWhile((_, index) => index < 10),
    takeLast: rx.takeLast(3),
    skip: rx.skip(3),
    skipUntil: rx.skipUntil(rx.timer(5)),
    skipWhile: rx.skipWhile((_, index) => index < 3),
    first: rx.first(),
    last: rx.last(),
    elementAt: rx.elementAt(5),
    ignoreElements: rx.ignoreElements(),
    mergeMap: rx.mergeMap(settled, 4),
    concatMap: rx.concatMap(settled),
    mergeAll: (source) => source.pipe(rx.map(settled), rx.mergeAll(4)),
    concatAll: (source) => source.pipe(rx.map(settled), rx.concatAll()),
    switchMap: rx.switchMap(skipped),
    exhaustMap: rx.exhaustMap(settled),
    mergeScan: rx.mergeScan((_: unknown, delivery) => settled(delivery), null, 4),
    bufferCount: rx.bufferCount(credits + 1),
    bufferTime: rx.bufferTime(10),
    buffer: (source) => source.pipe(rx.buffer(rx.interval(10)), rx.takeUntil(rx.timer(5))),
    debounceTime: rx.debounceTime(10),
    throttleTime: rx.throttleTime(10),
    auditTime: rx.auditTime(10),
    sampleTime: rx.sampleTime(10),
    distinct: rx.distinct(({ key }) => String(key)),
    distinctUntilChanged: rx.distinctUntilChanged(() => true),
    scan: rx.scan((count) => count + 1, 0),
    reduce: rx.reduce((all: D[], delivery) => [...all, delivery], []),
    count: rx.count(),
    toArray: rx.toArray(),
    merge: (source) => rx.merge(source, rx.EMPTY),
    concat: (source) => rx.concat(source, rx.EMPTY),
    combineLatest: rx.combineLatestWith(rx.timer(5)),
    withLatestFrom: rx.withLatestFrom(rx.timer(5)),
    zip: rx.zipWith(rx.range(0, 5)),
    groupBy: (source) =>
      source.pipe(
        rx.groupBy(({ id }) => id.at(-1)),
        rx.mergeMap((group) => group, 2),
      ),
    window: (source) =>
      source.pipe(
        rx.windowCount(5),
        rx.concatMap((window) => window.pipe(rx.delay(1))),
      ),
    windowTime: (source) =>
      source.pipe(
        rx.windowTime(5),
        rx.concatMap((window) => window.pipe(rx.delay(20))),
      ),
    retry: (source) => source.pipe(throwsOnce(), rx.retry(1)),
    repeat: (source) => source.pipe(acked, rx.repeat(2)),
    catchError: (source) =>
      rx
        .concat(
          source,
          rx.throwError(() => new Error('x')),
        )
        .pipe(rx.catchError(() => rx.EMPTY)),
    timeout: (source) =>
      rx.concat(source, rx.NEVER).pipe(
        rx.timeout(50),
        rx.catchError(() => rx.EMPTY),
      ),
    delay: rx.delay(5),
    delayWhen: rx.delayWhen(() => rx.NEVER),
    observeOn: rx.observeOn(rx.asyncScheduler),
    subscribeOn: rx.subscribeOn(rx.asyncScheduler),
    finalize: rx.finalize(() => undefined),
  };
}
