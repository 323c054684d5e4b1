import { spawn } from 'node:child_process';
import { repositoryFile } from '../servers/repository.js';
import type { Given } from './mistakes.js';

/** Far more than a run takes: one that tells nothing is ended then. */
const LONGEST_MS = 150_000;

/** What a program with a mistake printed, all of it, and how it ended. */
export interface MistakeRun {
  readonly printed: string;
  readonly code: number | null;
}

/** Runs a program with a mistake as a newcomer would, in a process of its own, and takes down what it prints. */
export function runMistake(name: string, given: Partial<Given>): Promise<MistakeRun> {
  return new Promise((resolve) => {
    let printed = '';
    const args = ['--import', 'tsx', repositoryFile('spec/newcomer/main.ts'), name];
    const child = spawn(process.execPath, args, {
      cwd: repositoryFile('.'),
      env: { ...process.env, GIVEN: JSON.stringify(given), METADATA_SERVER_DETECTION: 'none', NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: LONGEST_MS,
      killSignal: 'SIGKILL',
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (printed += text));
    }
    child.on('close', (code) => resolve({ printed, code }));
  });
}
