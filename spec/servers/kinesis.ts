import { setTimeout as sleep } from 'node:timers/promises';
import { boot } from './boot.js';
import { freePorts } from './free-ports.js';
import { kinesisCommand, type KinesisServerName } from './kinesis/command.js';
import { supervise, type SupervisedCommand } from './supervise.js';
import { whyNoKinesis } from './why-no-kinesis.js';

/** How to start a test server of Kinesis. */
export interface StartKinesisOptions {
  /**
   * Settings to add or to replace, in the server's own words: flags of kinesalite and ferrokinesis without their dashes
   * (`'iterator-ttl-seconds': '2'`), environment variables of kinesis-local (`SPLIT_SHARD_DURATION: '1s'`), constants of
   * ministack's module (`SUBSCRIPTION_SECONDS: '3'`).
   */
  readonly config?: Readonly<Record<string, string>>;
  /** How long one start of the process may take, in milliseconds. Default 30,000. */
  readonly startTimeoutMs?: number;
}

/** A test server of Kinesis that this process started. It never outlives this process, however that ends. */
export interface KinesisServer {
  readonly name: KinesisServerName;
  /** For the client: on 127.0.0.1, without TLS. */
  readonly endpoint: string;
  /** The server's process; another one after each restart. */
  readonly pid: number;
  /** Where it runs, with its log; removed by `stop`. */
  readonly folder: string;
  /** Ends the server by SIGKILL; what it held in memory is gone. */
  kill(): Promise<void>;
  /** Ends the server, if it runs, and starts it again: same port, no streams. */
  restart(): Promise<void>;
  /** Ends the server and removes all that it left. Repeats do nothing. */
  stop(): Promise<void>;
}

const STARTS = 3;
const POLL_MS = 20;
const LOG = 'kinesis.log';

/** Starts a test server of Kinesis on a free port of 127.0.0.1. */
export async function startKinesis(name: KinesisServerName, options: StartKinesisOptions = {}): Promise<KinesisServer> {
  const { config = {}, startTimeoutMs = 30_000 } = options;
  const missing = whyNoKinesis(name);
  if (missing !== undefined) throw new Error(missing);
  const supervisor = await supervise(`rxsluice-${name}-`);

  const start = (ports: { readonly port: number; readonly spare: number }): Promise<SupervisedCommand> => {
    const { command, args, env } = kinesisCommand(name, ports, config);
    return boot({
      what: name,
      supervisor,
      log: LOG,
      timeoutMs: startTimeoutMs,
      start: () => supervisor.start(command, args, LOG, { env }),
      untilReady: (signal) => untilReady(endpointOf(ports.port), signal),
    });
  };
  /** Between the choice of a port and its use another process may take it. */
  const startOnFreePorts = async (tries: number) => {
    const [port = 0, spare = 0] = await freePorts(2);
    try {
      return { ports: { port, spare }, server: await start({ port, spare }) };
    } catch (error) {
      if (tries > 1 && /EADDRINUSE|already in use/i.test(String(error))) return startOnFreePorts(tries - 1);
      throw error;
    }
  };

  try {
    const { ports, ...first } = await startOnFreePorts(STARTS);
    let { server } = first;
    return {
      name,
      endpoint: endpointOf(ports.port),
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

function endpointOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

/** Returns when the server answers, be it with a refusal; rejects when the signal comes first. */
async function untilReady(endpoint: string, signal: AbortSignal): Promise<void> {
  const answers = (): Promise<boolean> =>
    fetch(endpoint, { signal }).then(
      () => true,
      () => false,
    );
  while (!(await answers())) await sleep(POLL_MS, undefined, { signal });
}
