import { boot } from './boot.js';
import { onFreePorts } from './on-free-ports.js';
import { supervise, type SupervisedCommand } from './supervise.js';

/** A port for the service, and one for whatever else the server listens on. */
export interface ServerPorts {
  readonly port: number;
  readonly spare: number;
}

/** What a server in memory is started by. */
export interface ServerProcessOptions {
  /** Its name, for errors. */
  readonly what: string;
  /** How its folder's name begins. */
  readonly prefix: string;
  /** The file in it that it writes to. */
  readonly log: string;
  /** How long one start of the process may take, in milliseconds. */
  readonly timeoutMs: number;
  command(ports: ServerPorts): {
    readonly command: string;
    readonly args: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  };
  /** Resolves when the server can be used; rejects when the signal comes first. */
  untilReady(ports: ServerPorts, signal: AbortSignal): Promise<void>;
}

/** A server that this process started, with nothing on disk but its log. It never outlives this process, however that ends. */
export interface ServerProcess {
  readonly ports: ServerPorts;
  /** The server's process; another one after each restart. */
  readonly pid: number;
  /** Where it runs, with its log; removed by `stop`. */
  readonly folder: string;
  /** Ends the server by SIGKILL; what it held in memory is gone. */
  kill(): Promise<void>;
  /** Ends the server, if it runs, and starts it again on the same ports. */
  restart(): Promise<void>;
  /** Ends the server and removes all that it left. Repeats do nothing. */
  stop(): Promise<void>;
}

/** Starts a server on free ports of 127.0.0.1, in a process of its own. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { what, prefix, log, timeoutMs, command, untilReady } = options;
  const supervisor = await supervise(prefix);

  const start = (ports: ServerPorts): Promise<SupervisedCommand> => {
    const { command: program, args, env } = command(ports);
    return boot({
      what,
      supervisor,
      log,
      timeoutMs,
      start: () => supervisor.start(program, args, log, { env }),
      untilReady: (signal) => untilReady(ports, signal),
    });
  };
  try {
    const { ports, ...first } = await onFreePorts(2, async (port = 0, spare = 0) => ({
      ports: { port, spare },
      server: await start({ port, spare }),
    }));
    let { server } = first;
    return {
      ports,
      folder: supervisor.folder,
      get pid() {
        return server.pid;
      },
      kill: async () => void (await server.end('SIGKILL')),
      restart: async () => {
        await server.end('SIGKILL');
        server = await start(ports);
      },
      stop: () => supervisor.close(),
    };
  } catch (error) {
    await supervisor.close();
    throw error;
  }
}
