import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { diagnose, snippetsOf } from './diagnose.js';

const page = readFileSync('docs/pubsub.md', 'utf8');

/** The options of an interface, and those that the table of a section has. */
function optionsOf(file: string, name: string): string[] {
  const source = readFileSync(`lib/brokers/pubsub/${file}.ts`, 'utf8');
  const [, options = ''] = new RegExp(`interface ${name}[^{]*\\{(.*?)^\\}`, 'ms').exec(source) ?? [];
  return [...options.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, option]) => option as string).sort();
}

function rowsOf(title: string): string[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(title)) ?? '';
  const [table = ''] = section.split(/^### /m);
  return [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, option]) => option as string).sort();
}

describe('docs/pubsub.md', () => {
  const snippets = snippetsOf(page);

  it('has snippets that compile', () => {
    expect(snippets.length).toBeGreaterThanOrEqual(2);
    expect(diagnose(Object.fromEntries(snippets.map((code, index) => [`pubsub-${index}.ts`, code])))).toEqual([]);
  });

  it('would see one that does not', () => {
    const wrong = (snippets[0] as string).replace('maxInFlight:', 'maxSpan:');
    expect(diagnose({ 'wrong.ts': wrong }).join()).toContain("'maxSpan' does not exist");
  });

  it('names each option of the source and of the publisher', () => {
    expect(optionsOf('pubsub-options', 'PubSubSourceOptions').length).toBeGreaterThan(4);
    expect(rowsOf('The source')).toEqual(optionsOf('pubsub-options', 'PubSubSourceOptions'));
    expect(rowsOf('Publishing')).toEqual(optionsOf('pubsub-publisher', 'PubSubPublisherOptions'));
  });

  it('names each code that they give', () => {
    const codes = ['errors', 'source-errors', 'outgoing', 'adapter', 'publisher'].flatMap((file) => {
      const text = readFileSync(`lib/brokers/pubsub/pubsub-${file}.ts`, 'utf8');
      return [...text.matchAll(/'([a-z]+-?[a-z]+)'/g)].map(([, code]) => code as string);
    });
    const known =
      /export type SluiceErrorCode =(.*?);\n\n/s.exec(readFileSync('lib/core/errors.ts', 'utf8'))?.[1] ?? '';
    const given = [...new Set(codes)].filter((code) => known.includes(`'${code}'`));
    expect(given.length).toBeGreaterThan(5);
    expect(given.filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
  });
});
