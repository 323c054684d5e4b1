import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { mutants, type Mutant } from './mutants.js';
import type { ModelRun } from './run-model.js';

export interface Catch {
  readonly name: string;
  /** How many runs it took, or `null` where none of them saw it. */
  readonly runs: number | null;
  readonly violation: string;
}

const ROOT = process.cwd();

/** Builds the model with each defect in turn and runs it until it is seen, at most `most` runs. */
export async function hunt(most: number, wanted: readonly Mutant[] = mutants): Promise<Catch[]> {
  const catches: Catch[] = [];
  for (const mutant of wanted) catches.push(await catchOne(mutant, most));
  return catches;
}

async function catchOne(mutant: Mutant, most: number): Promise<Catch> {
  // Under node_modules, so that rxjs is found.
  const folder = await mkdtemp(join(ROOT, 'node_modules', '.rxsluice-mutant-')).catch(() => mkdtemp(join(tmpdir(), 'm-')));
  const outfile = join(folder, 'model.mjs');
  try {
    await build({
      entryPoints: [join(ROOT, 'spec/model/run-model.ts')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['rxjs', 'rxjs/testing'],
      outfile,
      logLevel: 'error',
      plugins: [mutate(mutant)],
    });
    const { runModel } = (await import(pathToFileURL(outfile).href)) as { runModel: (seed: number) => ModelRun };
    for (let seed = 1; seed <= most; seed++) {
      const [violation] = runModel(seed).violations;
      if (violation !== undefined) return { name: mutant.name, runs: seed, violation };
    }
    return { name: mutant.name, runs: null, violation: '' };
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
