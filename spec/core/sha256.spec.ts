import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { sha256 } from '../../lib/core/sha256.js';

const nodes = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('sha256', () => {
  it('is that of Node, for every length up to three blocks', () => {
    for (let length = 0; length <= 192; length++) {
      const bytes = Uint8Array.from({ length }, (_, index) => (index * 37 + length) % 256);
      expect(sha256(bytes)).toBe(nodes(bytes));
    }
  });

  it('is that of Node for a megabyte that begins anywhere in its buffer', () => {
    const all = new Uint8Array(1_048_583).map((_, index) => index % 251);
    expect(sha256(all.subarray(7))).toBe(nodes(all.subarray(7)));
  });
});
