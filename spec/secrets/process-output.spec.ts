import { expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { repositoryFile } from '../servers/repository.js';

const SECRET = 'canary 4111 hunter2';

/** Runs a file of this folder as a process of its own; what it printed. */
const printed = (file: string, ...args: string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const command = ['--import', 'tsx', repositoryFile(`spec/secrets/${file}`), ...args];
    const options = { cwd: repositoryFile('.'), env: { ...process.env, NODE_OPTIONS: '' }, timeout: 150_000 };
    execFile(process.execPath, command, options, (error, stdout, stderr) => {
      if (error === null) resolve(`${stdout}${stderr}`);
      else reject(new Error(`it ended with ${String(error.code)}: ${stderr}`));
    });
  });

it('a process with nothing configured prints warnings of ours, and nothing of what was thrown or of a message', async () => {
  const output = await printed('printing.ts', SECRET);
  expect(output).toContain('RxsluiceWarning');
  expect(output).toContain('unsettled');
  for (const secret of SECRET.split(' ')) expect(output).not.toContain(secret);
});
