import { map, mergeMap, type Observable } from 'rxjs';
import { ackEach, decode, handle, mapValue, ordered, retryToDlq } from 'rxsluice';
import { contenderIndex, serve } from './contenders.js';
import { compare, type Comparison, type Result, type Side } from './rounds.js';
import { noLetters, sluiceSource, spikeSource, subjectSource, timed } from './sources.js';
import { loadSpike, type Spike } from './spike.js';

const ROUNDS = 9;
const identity = <T>(value: T): T => value;
const later = async <T>(value: T): Promise<T> => Promise.resolve(value);

function contender(name: string, pipeline: () => Observable<unknown>): Side {
  return { name, run: () => timed(pipeline) };
}

const ours = {
  ack: () => sluiceSource().pipe(ackEach()),
  handle: () => sluiceSource().pipe(handle(identity), ackEach()),
  mapValue: () => sluiceSource().pipe(mapValue(identity), ackEach()),
  decode: () => sluiceSource().pipe(decode(identity), ackEach()),
  retry: () => sluiceSource().pipe(retryToDlq({ deadLetters: noLetters }), ackEach()),
  ordered: () => sluiceSource().pipe(ordered({ by: 'key' }), ackEach()),
  four: () =>
    sluiceSource().pipe(
      ordered({ by: 'key' }),
      retryToDlq({ deadLetters: noLetters }),
      decode(identity),
      handle(identity),
      ackEach(),
    ),
  async: () => sluiceSource().pipe(handle(later, { concurrency: 64 }), ackEach()),
};

/**
 * No broker: each operator beside the spike's, and beside a bare Subject with as many maps. `null` in the process of a
 * contender, which only serves.
 */
export async function inProcess(): Promise<Result[] | null> {
  const spike = await loadSpike();
  const comparisons = [...(spike === null ? [] : besideSpike(spike)), ...besideRxjs()];
  const index = contenderIndex();
  if (index !== null) {
    const sides = comparisons.flatMap(({ ours: one, theirs }) => [one, theirs]);
    serve((sides[index] as Side).run);
    return null;
  }
  const results: Result[] = [];
  for (const [at, comparison] of comparisons.entries()) results.push(await compare(comparison, 2 * at, ROUNDS));
  if (spike === null) console.log('The spike is not at hand (RXSLUICE_SPIKE): its comparisons are left out.');
  return results;
}

function besideSpike(spike: Spike): Comparison[] {
  const { ops } = spike;
  const letters = { publish: (messages: readonly unknown[]) => [messages.map(() => ({ ok: true }))] };
  const pair = (what: string, pipeline: () => Observable<unknown>, theirs: () => Observable<unknown>): Comparison => ({
    what,
    ours: contender('rxsluice', pipeline),
    theirs: contender('spike', theirs),
    bar: 1,
  });
  const source = (): Observable<unknown> => spikeSource(spike);
  return [
    pair('source → ackEach', ours.ack, () => source().pipe(ops.ackEach())),
    pair('mapValue → ackEach', ours.mapValue, () => source().pipe(ops.mapValue(identity), ops.ackEach())),
    pair('handle → ackEach', ours.handle, () => source().pipe(ops.handle(identity), ops.ackEach())),
    pair('retryToDlq → ackEach', ours.retry, () =>
      source().pipe(ops.retryToDlq({ deadLetters: letters }), ops.ackEach()),
    ),
    pair('ordered → ackEach', ours.ordered, () => source().pipe(ops.orderedLanes(), ops.ackEach())),
    pair('ordered, retryToDlq, decode, handle → ackEach', ours.four, () =>
      source().pipe(
        ops.orderedLanes(),
        ops.retryToDlq({ deadLetters: letters }),
        ops.mapValue(identity), // the spike has no decode
        ops.handle(identity),
        ops.ackEach(),
      ),
    ),
    pair('handle(async, 64) → ackEach', ours.async, () =>
      source().pipe(ops.handle(later, { concurrency: 64 }), ops.ackEach()),
    ),
  ];
}

function besideRxjs(): Comparison[] {
  const maps = (count: number) => (): Observable<unknown> => {
    let source: Observable<unknown> = subjectSource();
    for (let i = 0; i < count; i++) source = source.pipe(map(identity));
    return source;
  };
  const beside = (what: string, pipeline: () => Observable<unknown>, count: number): Comparison => ({
    what,
    ours: contender('rxsluice', pipeline),
    theirs: contender(`Subject, ${count} × map`, maps(count)),
    bar: 0, // told, not asked for: a Subject acks nothing
  });
  return [
    {
      what: 'handle(async fn, 64) beside mergeMap(async fn, 64)',
      ours: contender('handle', ours.async),
      theirs: contender('mergeMap', () =>
        sluiceSource().pipe(
          mergeMap(async (d) => later(d), 64),
          ackEach(),
        ),
      ),
      bar: 2,
    },
    beside('source → ackEach', ours.ack, 1),
    beside('handle → ackEach', ours.handle, 2),
    beside('decode → ackEach', ours.decode, 2),
    beside('retryToDlq → ackEach', ours.retry, 2),
    beside('ordered → ackEach', ours.ordered, 2),
    beside('ordered, retryToDlq, decode, handle → ackEach', ours.four, 5),
  ];
}
