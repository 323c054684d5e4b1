import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { diagnose, snippetsOf } from './diagnose.js';

describe('docs/writing-a-broker.md', () => {
  it('has adapters that compile', () => {
    const snippets = snippetsOf(readFileSync('docs/writing-a-broker.md', 'utf8'));
    expect(snippets).toHaveLength(3);
    const modules = Object.fromEntries(snippets.map((code, index) => [`broker-${index}.ts`, code]));
    expect(diagnose(modules)).toEqual([]);
  });
});
