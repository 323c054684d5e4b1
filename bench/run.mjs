// Built first: a loader that keeps function names slows down what is measured.
import { build } from 'esbuild';

const outfile = 'node_modules/.cache/rxsluice-bench/main.mjs';
await build({
  entryPoints: ['bench/main.ts'],
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  outfile,
  logLevel: 'error',
});
await import(new URL(`../${outfile}`, import.meta.url));
