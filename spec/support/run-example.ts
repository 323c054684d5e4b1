import { execFile } from 'node:child_process';

/** What an example said, and its exit code. */
export interface ExampleRun {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs an example as a command. */
export function runExample(folder: string): Promise<ExampleRun> {
  return new Promise((resolve) =>
    execFile(
      process.execPath,
      ['--import', 'tsx', `examples/${folder}/main.ts`],
      { timeout: 110_000 },
      (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }),
    ),
  );
}
