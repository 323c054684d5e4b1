import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { diagnose, snippetsOf } from './diagnose.js';

const page = readFileSync('docs/kinesis.md', 'utf8');

/** What the snippets take for given. */
const PRELUDE = `
  import type { Kinesis } from '@aws-sdk/client-kinesis';
  declare global {
    const kinesis: Kinesis;
  }`;

/** The options of the publisher, each with its default and its bounds. */
function rows(): Map<string, string> {
  const section = page.split(/^## /m).find((text) => text.startsWith('The publisher')) ?? '';
  return new Map(
    [...section.matchAll(/^\| `(\w+)` \|([^|]*\|[^|]*)\|/gm)].map(([, name, text]) => [name, text] as never),
  );
}

describe('docs/kinesis.md', () => {
  const snippets = snippetsOf(page);
  const modules = Object.fromEntries(snippets.map((code, index) => [`kinesis-${index}.ts`, code]));

  it('has snippets that compile', () => {
    expect(snippets.length).toBeGreaterThanOrEqual(2);
    expect(diagnose({ ...modules, 'prelude.ts': PRELUDE })).toEqual([]);
  });

  it('would see one that does not', () => {
    const wrong = (snippets[0] as string).replace('stream:', 'topic:');
    expect(diagnose({ 'wrong.ts': wrong, 'prelude.ts': PRELUDE }).join()).toContain("'topic' does not exist");
  });

  it('names each option of kinesisPublisher, with its default', () => {
    const source = readFileSync('lib/brokers/kinesis/kinesis-publisher.ts', 'utf8');
    const [, options = ''] = /interface KinesisPublisherOptions \{(.*?)^\}/ms.exec(source) ?? [];
    const names = [...options.matchAll(/readonly (\w+)\??:/g)].map(([, name]) => name as string);
    expect(names.length).toBeGreaterThan(10);
    expect([...rows().keys()].sort()).toEqual([...names].sort());
    const defaults = [...source.matchAll(/^ {4}(\w+) = ([\w ]+?),$/gm)].map(
      ([, name, value]) => [name, value] as const,
    );
    expect(defaults.length).toBeGreaterThan(7);
    for (const [name, value] of defaults) {
      const words = value
        ?.replace(/(\d)_(\d)/g, '$1,$2')
        .replace('5 * MiB', '5 MiB')
        .replace(/^MiB$/, '1 MiB');
      expect([name, rows().get(name as string)]).toEqual([name, expect.stringContaining(words as string)]);
    }
  });

  it('names each code that the publisher gives', () => {
    const codes = ['kinesis-errors', 'kinesis-outgoing', 'kinesis-publisher'].flatMap((file) => {
      const text = readFileSync(`lib/brokers/kinesis/${file}.ts`, 'utf8');
      return [...text.matchAll(/'([a-z]+-[a-z]+)'/g)].map(([, code]) => code as string);
    });
    const known =
      /export type SluiceErrorCode =(.*?);\n\n/s.exec(readFileSync('lib/core/errors.ts', 'utf8'))?.[1] ?? '';
    const given = [...new Set(codes)].filter((code) => known.includes(`'${code}'`) && code !== 'source-failed');
    expect(given.length).toBeGreaterThan(5);
    expect(given.filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
  });
});
