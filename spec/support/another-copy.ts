import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import * as rxjs from 'rxjs';
import type * as root from '../../lib/index.js';
import type * as memory from '../../lib/memory.js';

export type Copy = typeof root & typeof memory;

// Test environments lend these of the platform to their realm.
const LENT = { TextEncoder, TextDecoder, AbortController, performance, console, process };

/**
 * Another copy of the library, in a realm of its own: what an application has that loads it by `import` and by `require`, or by way of
 * two packages, in a test environment. RxJS is one, as a peer is.
 */
export async function anotherCopy(): Promise<Copy> {
  const { outputFiles } = await build({
    stdin: {
      contents: "export * from './lib/index.ts'; export * from './lib/memory.ts';",
      resolveDir: fileURLToPath(new URL('../..', import.meta.url)),
    },
    bundle: true,
    write: false,
    format: 'cjs',
    external: ['rxjs'],
  });
  const text = outputFiles[0]?.text ?? '';
  const module = { exports: {} };
  const load = runInContext(`(function (module, require) { ${text} })`, createContext({ ...LENT })) as (
    of: { exports: unknown },
    require: (name: string) => unknown,
  ) => void;
  load(module, () => rxjs);
  return module.exports as Copy;
}
