import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryFile } from './repository.js';

/** How a command ended; `error` when it could not be started at all. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly error?: string;
}

/** A command that runs under a supervisor. */
export interface SupervisedCommand {
  readonly pid: number;
  /** Resolves when it has ended. Does not keep this process alive. */
  readonly exited: Promise<Exit>;
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Exit>;
}

/** How a command is started. */
export interface CommandOptions {
  /** Who it runs as; default: as this process. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** What ends it when the supervisor closes; one that is still there after 5 s gets SIGKILL. Default: SIGKILL. */
  readonly lastSignal?: NodeJS.Signals | undefined;
}

/** Runs commands that never outlive this process, in a temporary folder that goes with them. */
export interface Supervisor {
  readonly pid: number;
  readonly folder: string;
  /** Starts a command in the folder; what it prints is added to `log` there. */
  start(command: string, args: readonly string[], log: string, options?: CommandOptions): Promise<SupervisedCommand>;
  /** Runs a command to its end, and rejects with what it printed where it fails. */
  run(command: string, args: readonly string[], log: string, options?: CommandOptions): Promise<void>;
  /** The last lines of a log. */
  tail(log: string): Promise<string>;
  /** Ends all commands by their last signal and removes the folder. Repeats do nothing. */
  close(): Promise<void>;
}

interface Report {
  readonly id: number;
  readonly pid?: number;
  readonly exit?: Exit;
}

const TAIL_LINES = 40;

/** Starts a supervisor; the name of its folder begins with `prefix`. */
export async function supervise(prefix: string): Promise<Supervisor> {
  // The loaders and flags of this process are not the supervisor's.
  const env = { ...process.env, NODE_OPTIONS: '' };
  const child = fork(repositoryFile('spec/servers/supervisor.mjs'), [prefix], { detached: true, execArgv: [], env });
  const ended = once(child, 'exit');
  const listeners = new Map<number, (report: Report) => void>();
  let ids = 0;
  let holds = 0;

  /** While something is awaited the channel keeps this process alive, else it does not. */
  const held = async <T>(work: Promise<T>): Promise<T> => {
    if (holds++ === 0) {
      child.ref();
      child.channel?.ref();
    }
    try {
      return await work;
    } finally {
      if (--holds === 0) {
        child.unref();
        child.channel?.unref();
      }
    }
  };

  const [{ folder }] = (await held(Promise.race([once(child, 'message'), ended.then(noSupervisor)]))) as [
    { folder: string },
  ];
  child.on('message', (report: Report) => listeners.get(report.id)?.(report));

  const start: Supervisor['start'] = (command, args, log, options) => {
    const id = ids++;
    let started: (command: SupervisedCommand) => void;
    let finished: (exit: Exit) => void;
    const begun = new Promise<SupervisedCommand>((resolve) => (started = resolve));
    const exited = new Promise<Exit>((resolve) => (finished = resolve));
    const end = (signal: NodeJS.Signals): Promise<Exit> => {
      if (child.connected) child.send({ id, signal });
      return held(exited);
    };
    listeners.set(id, ({ pid, exit }) => {
      if (pid !== undefined) started({ pid, exited, end });
      if (exit === undefined) return;
      listeners.delete(id);
      finished(exit);
    });
    void ended.then(() => finished({ code: null, signal: null, error: 'the supervisor has ended' }));
    const refused = exited.then((exit): never => {
      throw new Error(`${command} did not start: ${describeExit(exit)}`);
    });
    child.send({ id, run: { command, args, log, options } });
    return held(Promise.race([begun, refused]));
  };

  const tail = async (log: string): Promise<string> => {
    const text = await readFile(join(folder, log), 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  };

  return {
    pid: child.pid ?? 0,
    folder,
    start,
    tail,
    run: async (command, args, log, options) => {
      const { exited } = await start(command, args, log, options);
      const exit = await held(exited);
      if (exit.code !== 0) throw new Error(`${command} failed: ${describeExit(exit)}\n${await tail(log)}`);
    },
    close: async () => {
      if (child.connected) child.disconnect();
      await held(ended);
    },
  };
}

/** Says how a command ended. */
export function describeExit({ code, signal, error }: Exit): string {
  return error ?? (signal === null ? `exit code ${code}` : `ended by ${signal}`);
}

function noSupervisor(): never {
  throw new Error('The supervisor of the test servers ended before it began.');
}
