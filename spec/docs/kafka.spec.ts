import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { SOURCE_OPTION_NAMES } from '../../lib/core/source-options.js';
import { resolveKafkaOptions } from '../../lib/brokers/kafka/kafka-options.js';
import { fakeKafka } from '../support/kafka-fake.js';
import { diagnose, snippetsOf } from './diagnose.js';

const page = readFileSync('docs/kafka.md', 'utf8');

/** What the snippets take for given. */
const PRELUDE = `
  import type { Kafka } from 'kafkajs';
  declare global {
    const kafka: Kafka;
    function charge(id: string, cents: number, signal: AbortSignal): Promise<string>;
    function work(value: Uint8Array | null): Promise<void>;
  }`;
const CODEC = `declare module 'kafkajs-snappy' { const codec: () => unknown; export default codec; }`;

function section(title: string): string {
  return page.split(/^## /m).find((text) => text.startsWith(title)) ?? '';
}

/** The first and the second column of the tables of a section. */
function rows(title: string): Map<string, string> {
  const found = [...section(title).matchAll(/^\| `([\w-]+)` \|([^|]*)\|/gm)];
  return new Map(found.map(([, name, text]) => [name as string, text as string]));
}

describe('docs/kafka.md', () => {
  const snippets = snippetsOf(page);
  const modules = Object.fromEntries(snippets.map((code, index) => [`kafka-${index}.ts`, code]));

  it('has snippets that compile', () => {
    expect(snippets.length).toBeGreaterThanOrEqual(5);
    expect(diagnose({ ...modules, 'prelude.ts': PRELUDE, 'codec.d.ts': CODEC })).toEqual([]);
  });

  it('would see one that does not', () => {
    const [first = ''] = snippets;
    const wrong = first.replace('topics:', 'topic:');
    expect(diagnose({ 'wrong.ts': wrong, 'prelude.ts': PRELUDE }).join()).toContain("'topic' does not exist");
  });

  it('names each option of fromKafka, with its default', () => {
    const { until, ...resolved } = resolveKafkaOptions(fakeKafka(), { groupId: 'g', topics: ['t'] });
    const listed = rows('Options of `fromKafka`');
    expect([...listed.keys()].sort()).toEqual([...new Set([...Object.keys(resolved), ...SOURCE_OPTION_NAMES])].sort());
    const numbers = Object.entries(resolved).filter(([, value]) => typeof value === 'number');
    const inWords = { commitEvery: 'half of `maxSpan`', fetchMaxBytes: '10 MiB', fetchMaxBytesPerPartition: '1 MiB' };
    for (const [name, value] of numbers) {
      const words = inWords[name as keyof typeof inWords] ?? (value as number).toLocaleString('en-US');
      expect([name, listed.get(name)]).toEqual([name, expect.stringContaining(words)]);
    }
    expect(until).toBeNull();
  });

  it('names each option of kafkaPublisher', () => {
    const source = readFileSync('lib/brokers/kafka/kafka-publisher.ts', 'utf8');
    const [, options = ''] = /interface KafkaPublisherOptions \{(.*?)^\}/ms.exec(source) ?? [];
    const names = [...options.matchAll(/readonly (\w+)\??:/g)].map(([, name]) => name as string);
    expect(names.length).toBeGreaterThan(3);
    expect([...rows('The publisher').keys()].sort()).toEqual(names.sort());
  });

  it('names each code that the adapter gives', () => {
    const codes = ['kafka-errors', 'kafka-source', 'kafka-twins', 'kafka-outgoing'].flatMap((file) => {
      const text = readFileSync(`lib/brokers/kafka/${file}.ts`, 'utf8');
      return [...text.matchAll(/['`]([a-z]+-[a-z]+|unsupported)['`]/g)].map(([, code]) => code as string);
    });
    const known = /export type SluiceErrorCode =(.*?);/s.exec(readFileSync('lib/core/errors.ts', 'utf8'))?.[1] ?? '';
    const given = [...new Set(codes)].filter((code) => known.includes(`'${code}'`));
    const listed = rows('Errors');
    expect(given.length).toBeGreaterThan(7);
    expect(given.filter((code) => !listed.has(code))).toEqual([]);
  });
});
