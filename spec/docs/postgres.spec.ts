import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { postgresSchema } from '../../lib/postgres.js';
import { postgresOptionNames } from '../support/postgres-option-names.js';
import { diagnose, snippetsOf } from './diagnose.js';

const postgres = readFileSync('docs/postgres.md', 'utf8');
const effectivelyOnce = readFileSync('docs/effectively-once.md', 'utf8');

/** What the snippets take for given. */
const PRELUDE = `
  import type { Kafka } from 'kafkajs';
  import type { Kysely } from 'kysely';
  import type { StandardSchemaV1 } from 'rxsluice';
  declare global {
    const kafka: Kafka;
    const db: Kysely<{ invoices: { id: string; cents: number } }>;
    const order: StandardSchemaV1<unknown, { id: string; cents: number }>;
  }`;

describe.each([
  ['docs/postgres.md', postgres],
  ['docs/effectively-once.md', effectivelyOnce],
])('%s', (_name, page) => {
  const snippets = snippetsOf(page);
  const modules = Object.fromEntries(snippets.map((code, index) => [`postgres-${index}.ts`, code]));

  it('has snippets that compile', () => {
    expect(snippets.length).toBeGreaterThanOrEqual(1);
    expect(diagnose({ ...modules, 'prelude.ts': PRELUDE })).toEqual([]);
  });

  it('would see one that does not', () => {
    const wrong = (snippets[0] as string).replaceAll('rxsluice/postgres', 'rxsluice/postgress');
    expect(diagnose({ 'wrong.ts': wrong, 'prelude.ts': PRELUDE }).join()).toContain('rxsluice/postgress');
  });
});

describe('docs/postgres.md', () => {
  const section = (title: string): string => postgres.split(/^## /m).find((text) => text.startsWith(title)) ?? '';
  const named = (title: string): Set<string> =>
    new Set(
      [...section(title).matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, names]) =>
        [...(names as string).matchAll(/`(\w+)`/g)].map(([, name]) => name as string),
      ),
    );

  it('names each option of the stores', () => {
    const everywhere = ['processedEvents', 'outbox', 'shardLeases'];
    // Those of the other tables are taken, so that one object of names does for all.
    for (const [store, names] of Object.entries(postgresOptionNames())) {
      expect(new Set([...named(store), ...everywhere])).toEqual(new Set(names));
    }
  });

  it('names each column', () => {
    const columns = [...postgresSchema().matchAll(/^ {2}"?([a-z_]+)"? /gm)].map(([, name]) => name as string);
    for (const column of columns) expect(section('The tables')).toContain(`\`${column}\``);
  });
});
