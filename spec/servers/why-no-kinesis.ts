import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { ferrokinesisProgram, packageFile, PYTHON, type KinesisServerName } from './kinesis/command.js';

/** Why a test server of Kinesis cannot be started on this machine, in words; undefined where it can. */
export function whyNoKinesis(server: KinesisServerName): string | undefined {
  const reason = REASONS[server]();
  return reason === undefined ? undefined : `No ${server}: ${reason}`;
}

const REASONS: Readonly<Record<KinesisServerName, () => string | undefined>> = {
  kinesalite: () => ofPackage('kinesalite'),
  'kinesis-local': () => ofPackage('kinesis-local'),
  ferrokinesis: () => {
    const program = ferrokinesisProgram();
    if (program === undefined) return 'FERROKINESIS_BIN does not name its program';
    return existsSync(program) ? undefined : `FERROKINESIS_BIN names ${program}, which is not there`;
  },
  ministack: () => {
    const found = 'import importlib.util, sys; sys.exit(importlib.util.find_spec("ministack") is None)';
    return spawnSync(PYTHON, ['-c', found]).status === 0 ? undefined : `${PYTHON} has no module of that name`;
  },
};

function ofPackage(name: string): string | undefined {
  try {
    packageFile(name, 'package.json');
    return undefined;
  } catch {
    return 'the npm package is not installed';
  }
}
