import { describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const security = readFileSync('SECURITY.md', 'utf8');

/** Each spec file that is named, with the beginnings or parts of titles that are named behind it. */
const named = [...security.matchAll(/`(spec\/[\w./-]+\.spec\.ts)`:\s+("[^"]+"(?:,\s+"[^"]+")*)/g)].map(
  ([, file = '', titles = '']) => [file, [...titles.matchAll(/"([^"]+)"/g)].map(([, title = '']) => title)] as const,
);

describe('SECURITY.md', () => {
  it('names specs, and none without a title', () => {
    expect(named.length).toBeGreaterThanOrEqual(25);
    const files = [...security.matchAll(/`(spec\/[^`]+)`/g)];
    expect(files).toHaveLength(named.length);
  });

  it.each(named)('names what is in %s', (file, titles) => {
    expect(existsSync(file)).toBe(true);
    const spec = readFileSync(file, 'utf8').replaceAll("\\'", "'");
    for (const title of titles) expect(spec).toContain(title);
  });

  it('has a spec for each bound that is ours', () => {
    const [, ours = ''] = /\*\*by us\*\* \| \| \|\n([\s\S]*?)\n\| \*\*by the client/.exec(security) ?? [];
    const rows = ours.split('\n');
    expect(rows.length).toBeGreaterThanOrEqual(15);
    for (const row of rows) expect(row).toMatch(/`spec\/[\w./-]+\.spec\.ts`: "/);
  });
});

describe('the library', () => {
  const sources = readdirSync('lib', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

  it('reads no environment variable', () => {
    expect(sources.length).toBeGreaterThan(100);
    for (const source of sources) {
      expect(readFileSync(`lib/${source}`, 'utf8')).not.toMatch(/process\??\.env|import\.meta\.env|Deno\.env|Bun\.env/);
    }
  });

  it('runs nothing at install and brings nothing along', () => {
    const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, unknown>>;
    expect(manifest['dependencies']).toBeUndefined();
    expect(
      Object.keys(manifest['scripts'] ?? {}).filter((name) => /^(pre|post)?(install|prepare)$/.test(name)),
    ).toEqual([]);
    const optional = Object.keys(manifest['peerDependenciesMeta'] ?? {});
    expect(Object.keys(manifest['peerDependencies'] ?? {}).filter((name) => !optional.includes(name))).toEqual([
      'rxjs',
    ]);
  });
});
