import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import type { Observable } from 'rxjs';
import { contenderIndex } from './contenders.js';

/** What is used of the spike's operators; it is untyped. */
type Operator = (source: Observable<unknown>) => Observable<unknown>;
type Make = (...options: unknown[]) => Operator;

/** The throw-away prototype that this library must not be slower than. */
export interface Spike {
  readonly core: {
    readonly Session: new (subscriber: unknown, options: unknown, adapter: unknown) => SpikeSession;
  };
  readonly ops: {
    readonly ackEach: Make;
    readonly handle: Make;
    readonly mapValue: Make;
    readonly orderedLanes: Make;
    readonly retryToDlq: Make;
  };
}

export interface SpikeSession {
  inputEnded: boolean;
  assign(topic: string, partition: number): { push(records: readonly unknown[]): void };
  cork(): void;
  uncork(): void;
  pump(): void;
  unsubscribe(): void;
}

const FOLDER = resolve(process.env['RXSLUICE_SPIKE'] ?? '../shared/reference/spike');

const CACHE = resolve('node_modules/.cache/rxsluice-bench');
const OUTFILE = join(CACHE, 'spike.mjs');

/** Loads the spike where it is at hand, built by the same tool as the library; `null` elsewhere. */
export async function loadSpike(): Promise<Spike | null> {
  if (!existsSync(join(FOLDER, 'core.ts'))) return null;
  // The process that compares has built it before it starts a contender.
  if (contenderIndex() === null) await buildSpike();
  return (await import(pathToFileURL(OUTFILE).href)) as Spike;
}

async function buildSpike(): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  await build({
    stdin: { contents: `export * as core from './core.ts'; export * as ops from './ops.ts';`, resolveDir: FOLDER },
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['rxjs'],
    outfile: OUTFILE,
    logLevel: 'error',
    plugins: [
      {
        name: 'rxjs from here',
        setup: ({ onResolve }) => onResolve({ filter: /^rxjs$/ }, ({ path }) => ({ path, external: true })),
      },
    ],
  });
}
