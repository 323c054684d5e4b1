// Packs what would be published, freshly built apart from dist: node scripts/pack.mjs FOLDER prints the tarball's path.
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const into = resolve(process.argv[2] ?? '.');

const stage = await mkdtemp(join(tmpdir(), 'rxsluice-pack-'));
try {
  for (const name of ['package.json', 'README.md', 'LICENSE', 'docs']) {
    await cp(join(root, name), join(stage, name), { recursive: true });
  }
  await run(process.execPath, [join(root, 'scripts/build.mjs'), join(stage, 'dist')]);
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', into], { cwd: stage });
  const tarball = (await readdir(into)).find((name) => name.endsWith('.tgz'));
  console.log(join(into, tarball));
} catch (error) {
  console.error(error.stderr || error);
  process.exitCode = 1;
} finally {
  await rm(stage, { recursive: true, force: true });
}
