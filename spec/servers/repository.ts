import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The absolute path of a file of this repository, also from a bundle, which lies elsewhere than its source. */
export function repositoryFile(path: string): string {
  for (let folder = process.cwd(); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'spec/servers/supervisor.mjs'))) return join(folder, path);
    if (folder === dirname(folder)) throw new Error('The test servers start within the repository of rxsluice only.');
  }
}
