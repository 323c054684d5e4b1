import type { DeadLetterFormat } from '../../../lib/index.js';
import { choices } from '../../model/random.js';
import { aggregates } from './aggregates.js';
import { batches } from './batches.js';
import { deeds } from './deeds.js';
import { bytesOf, goodValue, type CorpusBroker, type CorpusEntry } from './entry.js';
import { headers } from './headers.js';
import { keys } from './keys.js';
import { LEFT_OUT } from './left-out.js';
import { flood, limits } from './limits.js';
import { noMessages } from './no-messages.js';
import { values } from './values.js';

/** The corpus has to know this of a broker. */
export interface CorpusShape {
  readonly broker: CorpusBroker;
  /** The largest value, in bytes, that it takes with a key of one character. */
  readonly mostBytes: number;
  /** How many tiny messages come in one go. */
  readonly flood: number;
  /** More of its own. */
  readonly own?: readonly CorpusEntry[];
}

/** An entry, or the number of a good message. */
export type CorpusItem = CorpusEntry | number;

// Those of Kinesis in one record, of 1 MiB.
const FLOOD_OF_AN_AGGREGATE = 100_000;

/** All entries for one broker; the same seed gives the same. */
export function corpusFor(shape: CorpusShape, format: DeadLetterFormat, seed: number): CorpusEntry[] {
  const { broker, mostBytes, flood: tiny, own = [] } = shape;
  const all = [
    ...values(choices(seed)),
    ...keys(),
    ...headers(),
    ...noMessages(),
    ...deeds(),
    ...limits(mostBytes, format === 'headers'),
    ...aggregates(FLOOD_OF_AN_AGGREGATE),
    ...batches(),
    flood(tiny),
    ...own,
  ];
  const leftOut = Object.keys(LEFT_OUT[broker] ?? {});
  const names = new Set(all.map(({ name }) => name));
  if (names.size < all.length) throw new Error('two entries have one name');
  for (const name of leftOut) if (!names.has(name)) throw new Error(`${broker} leaves out what there is not: ${name}`);
  return all.filter(({ name, raw = broker }) => raw === broker && !leftOut.includes(name));
}

/** So many good messages, in their order, with the entries in between. */
export function mix(good: number, entries: readonly CorpusEntry[], seed: number): CorpusItem[] {
  const { below } = choices(seed);
  const before = new Map<number, CorpusEntry[]>();
  for (const entry of entries) {
    const place = below(good);
    before.set(place, [...(before.get(place) ?? []), entry]);
  }
  return Array.from({ length: good }, (_, number) => [...(before.get(number) ?? []), number]).flat();
}

/** A good message; those of a key in the order of their numbers. */
export function goodMessage(number: number): { readonly key: string; readonly value: Uint8Array } {
  return { key: keyOf(number), value: bytesOf(goodValue(`good-${number}`)) };
}

export function keyOf(number: number): string {
  return `key-${number % 100}`;
}
