import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build, type Plugin } from 'esbuild';
import type { Batch } from './cli.js';
import { mutants, type Mutant } from './mutants.js';

export interface Catch {
  readonly name: string;
  /** How many runs it took, or `null` where none of them saw it. */
  readonly runs: number | null;
  readonly violation: string;
}

const ROOT = process.cwd();
const run = promisify(execFile);

/** Random runs in processes of their own, since Jest's module sandbox makes them five times slower. */
export async function runBatches(first: number, runs: number, processes: number): Promise<Batch[]> {
  const each = Math.ceil(runs / processes);
  return withModel(null, (outfile) =>
    Promise.all(Array.from({ length: processes }, (_, n) => runBatch(outfile, first + n * each, each))),
  );
}

/** Builds the model with each defect in turn and runs it until it is seen, at most `most` runs. */
export async function hunt(most: number, wanted: readonly Mutant[] = mutants): Promise<Catch[]> {
  const catches: Catch[] = [];
  for (const mutant of wanted) {
    const { failed, runs } = await withModel(mutant, (outfile) => runBatch(outfile, 1, most));
    catches.push({ name: mutant.name, runs: failed === null ? null : runs, violation: failed?.violations[0] ?? '' });
  }
  return catches;
}

async function runBatch(outfile: string, first: number, runs: number): Promise<Batch> {
  const { stdout } = await run('node', [outfile, String(first), String(runs)], { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout) as Batch;
}

async function withModel<T>(mutant: Mutant | null, use: (outfile: string) => Promise<T>): Promise<T> {
  // Under node_modules, so that rxjs is found.
  const folder = await mkdtemp(join(ROOT, 'node_modules', '.rxsluice-model-'));
  const outfile = join(folder, 'model.mjs');
  try {
    await build({
      entryPoints: [join(ROOT, 'spec/model/cli.ts')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['rxjs', 'rxjs/testing'],
      outfile,
      logLevel: 'error',
      plugins: mutant === null ? [] : [mutate(mutant)],
    });
    return await use(outfile);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function mutate({ name, file, find, replace }: Mutant): Plugin {
  return {
    name: 'mutate',
    setup: ({ onLoad }) => {
      onLoad({ filter: new RegExp(`lib/${file.replace('.', '\\.')}$`) }, ({ path }) => {
        const source = readFileSync(path, 'utf8');
        if (!source.includes(find)) throw new Error(`mutant "${name}": ${file} no longer has what it replaces`);
        return { contents: source.replace(find, replace), loader: 'ts' };
      });
    },
  };
}
