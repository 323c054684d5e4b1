import { execFile } from 'node:child_process';

/** How to run an example. */
export interface RunExampleOptions {
  readonly args?: readonly string[];
  /** Beside the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** At the first output that has this, it gets a SIGINT, as by Ctrl-C. */
  readonly interruptAt?: string;
}

/** What an example said, and its exit code. */
export interface ExampleRun {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs an example as a command. */
export function runExample(
  folder: string,
  { args = [], env = {}, interruptAt }: RunExampleOptions = {},
): Promise<ExampleRun> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--import', 'tsx', `examples/${folder}/main.ts`, ...args],
      { env: { ...process.env, ...env }, timeout: 110_000 },
      (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
    if (interruptAt === undefined) return;
    let said = '';
    let interrupted = false;
    child.stdout?.on('data', (text: string) => {
      said += text;
      if (interrupted || !said.includes(interruptAt)) return;
      interrupted = true;
      child.kill('SIGINT');
    });
  });
}

/** All that an example prints whose messages fail on purpose: our process warnings, and Node's word on the first. */
export const OWN_WARNINGS =
  /^\(node:\d+\) RxsluiceWarning: rxsluice: message .+\n\(Use `node --trace-warnings .+\n(\(node:\d+\) RxsluiceWarning: rxsluice: .+\n)*$/;
