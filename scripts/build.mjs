// Builds both formats: node scripts/build.mjs [folder], by default dist.
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = resolve(process.argv[2] ?? join(root, 'dist'));
const compiler = join(root, 'node_modules/typescript/bin/tsc');

const tsc = (...options) =>
  promisify(execFile)(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json'), ...options], { cwd: root });

try {
  await rm(dist, { recursive: true, force: true });
  await mkdir(join(dist, 'cjs'), { recursive: true });
  await Promise.all([
    tsc('--outDir', join(dist, 'esm')),
    tsc('--module', 'commonjs', '--moduleResolution', 'bundler', '--outDir', join(dist, 'cjs')),
    writeFile(join(dist, 'cjs/package.json'), '{"type":"commonjs"}\n'),
  ]);
} catch (error) {
  console.error(error.stdout || error);
  process.exitCode = 1;
}
