import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { boot } from './boot.js';
import { freePorts } from './free-ports.js';
import { pubsubCommand, type PubSubServerName } from './pubsub/command.js';
import { supervise, type SupervisedCommand } from './supervise.js';
import { whyNoPubSub } from './why-no-pubsub.js';

/** How to start a test server of Pub/Sub. */
export interface StartPubSubOptions {
  /** How long one start of the process may take, in milliseconds. Default 60,000. */
  readonly startTimeoutMs?: number;
}

/** A test server of Pub/Sub that this process started. It never outlives this process, however that ends. */
export interface PubSubServer {
  readonly name: PubSubServerName;
  /** For the client: host and port, on 127.0.0.1. */
  readonly endpoint: string;
  /** Of pstest: where its faults are asked for. */
  readonly control: string | undefined;
  /** The server's process; another one after each restart. */
  readonly pid: number;
  /** Where it runs, with its log; removed by `stop`. */
  readonly folder: string;
  /** Ends the server by SIGKILL; what it held in memory is gone. */
  kill(): Promise<void>;
  /** Ends the server, if it runs, and starts it again: same port, no topics. */
  restart(): Promise<void>;
  /** Ends the server and removes all that it left. Repeats do nothing. */
  stop(): Promise<void>;
}

const STARTS = 3;
const POLL_MS = 20;
const LOG = 'pubsub.log';

/** Starts a test server of Pub/Sub on a free port of 127.0.0.1, in a process of its own. */
export async function startPubSub(name: PubSubServerName, options: StartPubSubOptions = {}): Promise<PubSubServer> {
  const { startTimeoutMs = 60_000 } = options;
  const missing = whyNoPubSub(name);
  if (missing !== undefined) throw new Error(missing);
  const supervisor = await supervise(`rxsluice-pubsub-${name}-`);

  const start = (ports: { readonly port: number; readonly spare: number }): Promise<SupervisedCommand> => {
    const { command, args } = pubsubCommand(name, ports);
    return boot({
      what: name,
      supervisor,
      log: LOG,
      timeoutMs: startTimeoutMs,
      start: () => supervisor.start(command, args, LOG, { env: { NODE_OPTIONS: '' } }),
      untilReady: (signal) => (name === 'emulator' ? untilAnswers(ports.port, signal) : untilOpen(ports.port, signal)),
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
      endpoint: `127.0.0.1:${ports.port}`,
      control: name === 'pstest' ? `http://127.0.0.1:${ports.spare}` : undefined,
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

/** Returns when something listens; rejects when the signal comes first. */
async function untilOpen(port: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect', { signal });
      return;
    } catch {
      await sleep(POLL_MS, undefined, { signal });
    } finally {
      socket.destroy();
    }
  }
}

/** Returns when the emulator answers; it listens before it can. */
async function untilAnswers(port: number, signal: AbortSignal): Promise<void> {
  const answers = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}`, { signal }).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await answers())) await sleep(POLL_MS, undefined, { signal });
}
