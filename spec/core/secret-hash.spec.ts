import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { environment } from '../../lib/core/environment.js';
import { hashOf } from '../../lib/core/hash.js';
import { hashWords, makeHashWords, secretHashOf, type HashWords } from '../../lib/core/secret-hash.js';
import { choices } from '../model/random.js';

/** Words that are the same in each run. */
function wordsOf(seed: number): HashWords {
  const { secret } = environment;
  const { next } = choices(seed);
  environment.secret = (words) => {
    for (let at = 0; at < words.length; at++) words[at] = Math.floor(next() * 2 ** 32);
  };
  try {
    return makeHashWords();
  } finally {
    environment.secret = secret;
  }
}

/** How many of some keys share their hash with another. */
const shared = (keys: readonly (string | Uint8Array)[], words: HashWords): number =>
  keys.length - new Set(keys.map((key) => secretHashOf(key, words))).size;

const encoder = new TextEncoder();

describe('the secret hash', () => {
  it('is the same for a key as long as the words are, for text and its ASCII bytes too, and has 29 bits', () => {
    const words = wordsOf(1);
    expect(hashWords()).toBe(hashWords());
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (key) => {
        const hash = secretHashOf(key, words);
        expect(secretHashOf(key, words)).toBe(hash);
        expect(secretHashOf(encoder.encode(key), words)).toBe(hash);
        expect(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 29).toBe(true);
      }),
    );
  });

  it('is another one for each words: keys that share a hash by some share none by others', () => {
    const [ours, theirs] = [wordsOf(1), wordsOf(2)];
    const low = (key: string, words: HashWords): number => secretHashOf(key, words) & 0x3ff;
    const victim = low('tenant-A/account-1', ours);
    const found: string[] = [];
    for (let at = 0; found.length < 40; at++) if (low(`evil/${at}`, ours) === victim) found.push(`evil/${at}`);
    expect(new Set(found.map((key) => low(key, theirs))).size).toBeGreaterThan(35);
    expect(makeHashWords().high).not.toEqual(makeHashWords().high);
    expect(makeHashWords().low).not.toEqual(makeHashWords().high);
  });

  it('has no collision of keys that are made to collide', () => {
    const words = wordsOf(3);
    // By the hash that stands for good: some whose lowest 15 bits are those of a victim.
    const fnv = ['tenant-A/account-1'];
    const victim = hashOf('tenant-A/account-1') & 0x7fff;
    for (let at = 0; fnv.length < 20; at++) {
      if ((hashOf(`tenant-EVIL/${at}`) & 0x7fff) === victim) fnv.push(`tenant-EVIL/${at}`);
    }
    expect(shared(fnv, words)).toBe(0);
    // By polynomials modulo a power of two, whatever the factor: the sequence of Thue and Morse, and its opposite.
    const thueMorse = (flip: number): string =>
      Array.from({ length: 2_048 }, (_, at) => ((at.toString(2).split('1').length + flip) % 2 === 0 ? 'a' : 'b')).join(
        '',
      );
    expect(shared([thueMorse(0), thueMorse(1)], words)).toBe(0);
    // By sums: the same units in another order.
    const units = [...'abcdefg'];
    const orders = units.flatMap((_, from) => units.map((__, to) => swapped(units, from, to)));
    expect(shared([...new Set(orders)], words)).toBe(0);
    // By what follows: zeros, at the ends of blocks too.
    for (const length of [0, 1, 61, 62, 63, 64, 65, 124, 125, 126, 500]) {
      const key = new Uint8Array(length).fill(7);
      const longer = [0, 1, 2, 3].map((more) => Uint8Array.from([...key, ...new Uint8Array(more)]));
      expect(shared(longer, words)).toBe(0);
    }
  });

  it('tells long keys apart by each of their units', () => {
    const words = wordsOf(4);
    const key = 'x'.repeat(1_000);
    const changed = Array.from({ length: 1_000 }, (_, at) => `${key.slice(0, at)}y${key.slice(at + 1)}`);
    expect(shared([key, ...changed], words)).toBe(0);
  });

  it('spreads keys that are alike over the lowest bits, which tables use', () => {
    const words = wordsOf(5);
    const counts = new Map<number, number>();
    for (let at = 0; at < 4_096; at++) {
      const place = secretHashOf(`customer-${at}`, words) & 4_095;
      counts.set(place, (counts.get(place) ?? 0) + 1);
    }
    expect(Math.max(...counts.values())).toBeLessThan(16);
    expect(counts.size).toBeGreaterThan(2_000);
  });
});

function swapped(units: readonly string[], from: number, to: number): string {
  const all = [...units];
  [all[from], all[to]] = [all[to] as string, all[from] as string];
  return all.join('');
}
