// All that can be checked without running the code, in one command; the specs are `npm test`.
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const packed = await mkdtemp(join(tmpdir(), 'rxsluice-check-'));

/** Each phase's steps run side by side; a later phase needs what an earlier one made. */
const phases = [
  {
    lint: 'eslint . --max-warnings 0',
    format: 'prettier --check . --log-level warn',
    types: 'tsc -p .',
    boundaries: 'depcruise lib --config .dependency-cruiser.cjs',
    'dead code': 'knip',
    'doc links': 'typedoc --emit none --treatWarningsAsErrors --logLevel Warn',
    build: 'node scripts/build.mjs',
    pack: `node scripts/pack.mjs ${packed}`,
  },
  {
    'API report': 'api-extractor run',
    publint: () => `publint run ${tarball()} --strict`,
    attw: () => `attw ${tarball()} --profile node16`,
    size: 'size-limit',
  },
];

let file = '';
const tarball = () => join(packed, file);
const failed = [];
try {
  for (const phase of phases) {
    await Promise.all(Object.entries(phase).map(([name, command]) => step(name, command)));
    if (failed.includes('build') || failed.includes('pack')) break;
    file = (await readdir(packed)).find((name) => name.endsWith('.tgz')) ?? '';
  }
} finally {
  await rm(packed, { recursive: true, force: true });
}
if (failed.length > 0) {
  console.error(`check failed: ${failed.join(', ')}`);
  process.exitCode = 1;
} else {
  console.log('check passed');
}

async function step(name, command) {
  const line = typeof command === 'function' ? command() : command;
  const started = Date.now();
  const { code, output } = await execute(line);
  const seconds = ((Date.now() - started) / 1_000).toFixed(1);
  console.log(`${code === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  if (code !== 0) {
    failed.push(name);
    console.log(`${line}\n${output}`);
  } else if (name === 'size') {
    console.log(output);
  }
}

function execute(line) {
  const path = `${join(root, 'node_modules/.bin')}:${process.env.PATH}`;
  return new Promise((resolve) => {
    const child = spawn(line, { cwd: root, shell: true, env: { ...process.env, PATH: path, NO_COLOR: '1' } });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('close', (code) => resolve({ code, output }));
  });
}
