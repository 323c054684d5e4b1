import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const ENTRIES = ['index', 'broker', 'memory', 'kafka', 'kinesis', 'pubsub'];

let temp: string;
let installed: string;

// Nothing is fetched: the tarball is installed offline, its peer is the repository's own copy.
beforeAll(async () => {
  temp = await mkdtemp(join(tmpdir(), 'rxsluice-package-'));
  const { stdout } = await run(process.execPath, [join(root, 'scripts/pack.mjs'), temp]);
  await writeFile(join(temp, 'package.json'), '{"private":true}');
  const options = ['--offline', '--legacy-peer-deps', '--ignore-scripts', '--no-audit', '--no-fund'];
  await run('npm', ['install', ...options, stdout.trim()], { cwd: temp });
  await symlink(join(root, 'node_modules/rxjs'), join(temp, 'node_modules/rxjs'), 'junction');
  installed = join(temp, 'node_modules/rxsluice');
});

afterAll(() => rm(temp, { recursive: true, force: true }));

describe('the packed package', () => {
  it('loads by import and by require in plain Node, and runs a pipeline in both formats', async () => {
    await copyFile(join(root, 'scripts/consumer/smoke.mjs'), join(temp, 'smoke.mjs'));
    await expect(run(process.execPath, ['smoke.mjs'], { cwd: temp })).resolves.toMatchObject({ stderr: '' });
  });

  it('does nothing when it is loaded: no timer, no handle, no output keeps the process', async () => {
    const load = `await import('rxsluice'); await import('rxsluice/broker'); await import('rxsluice/memory');
      await import('rxsluice/kafka'); await import('rxsluice/kinesis'); await import('rxsluice/pubsub');
      console.log(process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout' || kind === 'Immediate').length)`;
    await expect(
      run(process.execPath, ['--input-type=module', '-e', load], { cwd: temp, timeout: 30_000 }),
    ).resolves.toEqual({ stdout: '0\n', stderr: '' });
  });

  it('offers its subpaths alone: nothing inside can be imported', async () => {
    await expect(
      run(process.execPath, ['--input-type=module', '-e', "await import('rxsluice/dist/esm/api.js')"], { cwd: temp }),
    ).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  it.each(['esm', 'cjs'])('imports nothing but itself and rxjs, and no Node built-in, in %s', async (format) => {
    const outside = new Set<string>();
    for (const entry of ENTRIES) {
      for (const specifier of await reached(join(installed, 'dist', format, `${entry}.js`))) outside.add(specifier);
    }
    expect([...outside]).toEqual(['rxjs']);
    expect([...outside].filter((name) => name.startsWith('node:') || builtinModules.includes(name))).toEqual([]);
  });

  it('holds what is to be published and nothing else', async () => {
    const files = await readdir(installed);
    expect(files.sort()).toEqual(['LICENSE', 'README.md', 'dist', 'docs', 'package.json']);
    const dist = await readdir(join(installed, 'dist'), { recursive: true, withFileTypes: true });
    const kinds = new Set(dist.filter((file) => file.isFile()).map(({ name }) => name.slice(name.indexOf('.'))));
    expect([...kinds].sort()).toEqual(['.d.ts', '.js', '.js.map', '.json']);
  });
});

/** What the file and all that it imports of its own package import from elsewhere. */
async function reached(entry: string, seen = new Set<string>(), outside = new Set<string>()): Promise<Set<string>> {
  if (seen.has(entry)) return outside;
  seen.add(entry);
  const source = await readFile(entry, 'utf8');
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '');
  for (const [, specifier = ''] of code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\(\s*)['"]([^'"]+)['"]/g)) {
    if (specifier.startsWith('.')) await reached(resolve(dirname(entry), specifier), seen, outside);
    else outside.add(specifier);
  }
  return outside;
}
