import { spawn, type ChildProcess } from 'node:child_process';
import { buildSync } from 'esbuild';
import { repositoryFile } from '../servers/repository.js';

const bundles = new Map<string, string>();

/** Signals a process that may have ended already, and waits until it has. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await exited;
}

/** Waits until something holds, at most `timeoutMs`: what did not come is judged, and traced, by what came. */
export async function waitUntil(holds: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!(await holds()) && performance.now() < limit) await pause(200);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Starts a file as a process of its own, told its settings as JSON. */
export function startChild(file: string, settings: object, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(process.execPath, ['--input-type=module', '-', JSON.stringify(settings)], {
    cwd: repositoryFile('.'),
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '', ...env },
  });
  // It may be killed before it has read all.
  child.stdin?.on('error', () => undefined).end(bundleOf(file));
  return child;
}

/** Many are started from one file: each would compile it, and with it the library. */
function bundleOf(file: string): string {
  const known = bundles.get(file);
  if (known !== undefined) return known;
  const { outputFiles } = buildSync({
    entryPoints: [file],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    write: false,
  });
  const bundle = outputFiles[0]?.text ?? '';
  bundles.set(file, bundle);
  return bundle;
}

/** Asks a process to end, and kills it where it does not within `timeoutMs`. */
export async function endWithin(child: ChildProcess, timeoutMs: number): Promise<void> {
  const late = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  await endChild(child, 'SIGTERM');
  clearTimeout(late);
}
