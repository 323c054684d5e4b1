// Built first: a loader that keeps function names slows down what is measured.
import { build } from 'esbuild';

// `npm run bench` measures in process; `npm run bench -- kafka` on a Kafka.
const name = process.argv[2] ?? 'main';
const outfile = `node_modules/.cache/rxsluice-bench/${name}.mjs`;
await build({
  entryPoints: [`bench/${name}.ts`],
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  outfile,
  logLevel: 'error',
});
await import(new URL(`../${outfile}`, import.meta.url));
