import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DIGEST_BYTES, md5 } from '../../../lib/brokers/kinesis/md5.js';
import { randomSeed } from '../../support/seed.js';

const seed = randomSeed();

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const hex = (digest: DataView): string => Buffer.from(digest.buffer).toString('hex');
const theirs = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

describe(`md5 (seed ${seed})`, () => {
  it.each([
    ['', 'd41d8cd98f00b204e9800998ecf8427e'],
    ['a', '0cc175b9c0f1b6a831c399e269772661'],
    ['abc', '900150983cd24fb0d6963f7d28e17f72'],
    ['message digest', 'f96b697d7cb7938d525a2f31aaf161d0'],
    ['abcdefghijklmnopqrstuvwxyz', 'c3fcd3d76192e4007dfb496cca67e13b'],
    ['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 'd174ab98d277d9f5a5611c2c9f419d9f'],
    ['1234567890'.repeat(8), '57edf4a22be3c955ac49da2e2107b67a'],
  ])('digests %j as RFC 1321 has it', (text, digest) => {
    expect(hex(md5(viewOf(Buffer.from(text))))).toBe(digest);
  });

  it('digests as Node does at each length over three blocks, where the padding changes its shape', () => {
    const bytes = Buffer.from(Array.from({ length: 200 }, (_, i) => (i * 151 + 7) & 0xff));
    for (let length = 0; length <= 200; length++) {
      const part = bytes.subarray(0, length);
      expect([length, hex(md5(viewOf(part)))]).toEqual([length, theirs(part)]);
    }
  });

  it('digests as Node does, whatever the bytes, where they begin in memory and which part of them is meant', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), fc.nat(70), fc.nat(70), (bytes, before, behind) => {
        const from = Math.min(before, bytes.length);
        const to = Math.max(from, bytes.length - behind);
        const shifted = new Uint8Array(bytes.length + 3).subarray(3);
        shifted.set(bytes);
        expect(hex(md5(viewOf(shifted), from, to))).toBe(theirs(bytes.subarray(from, to)));
      }),
      { seed, numRuns: 2_000 },
    );
  });

  it('digests what is longer than a record may be', () => {
    const bytes = Buffer.alloc(11 * 1024 * 1024 + 5, 'kinesis');
    expect(hex(md5(viewOf(bytes)))).toBe(theirs(bytes));
  });

  it('writes into the digest that it is given, of which nothing is left', () => {
    const digest = new DataView(new ArrayBuffer(DIGEST_BYTES));
    for (const text of ['first', 'second']) {
      expect(md5(viewOf(Buffer.from(text)), 0, text.length, digest)).toBe(digest);
      expect(hex(digest)).toBe(theirs(Buffer.from(text)));
    }
  });
});
