import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { pubsubCommand, type PubSubServerName } from './pubsub/command.js';
import { startServerProcess, type ServerProcess } from './server-process.js';
import { untilAnswers } from './until-answers.js';
import { whyNoPubSub } from './why-no-pubsub.js';

/** How to start a test server of Pub/Sub. */
export interface StartPubSubOptions {
  /** How long one start of the process may take, in milliseconds. Default 60,000. */
  readonly startTimeoutMs?: number;
}

/** A test server of Pub/Sub. After a restart it has the same port, and no topics. */
export interface PubSubServer extends ServerProcess {
  readonly name: PubSubServerName;
  /** For the client: host and port, on 127.0.0.1. */
  readonly endpoint: string;
  /** Of pstest: where its faults are asked for. */
  readonly control: string | undefined;
}

const POLL_MS = 20;

/** Starts a test server of Pub/Sub on a free port of 127.0.0.1, in a process of its own. */
export async function startPubSub(name: PubSubServerName, options: StartPubSubOptions = {}): Promise<PubSubServer> {
  const { startTimeoutMs = 300_000 } = options;
  const missing = whyNoPubSub(name);
  if (missing !== undefined) throw new Error(missing);
  const server = await startServerProcess({
    what: name,
    prefix: `rxsluice-pubsub-${name}-`,
    log: 'pubsub.log',
    timeoutMs: startTimeoutMs,
    command: (ports) => ({ ...pubsubCommand(name, ports), env: { NODE_OPTIONS: '' } }),
    // The emulator listens before it can answer.
    untilReady: ({ port }, signal) =>
      name === 'emulator' ? untilAnswers(`http://127.0.0.1:${port}`, signal, ({ ok }) => ok) : untilOpen(port, signal),
  });
  const { port, spare } = server.ports;
  return Object.assign(server, {
    name,
    endpoint: `127.0.0.1:${port}`,
    control: name === 'pstest' ? `http://127.0.0.1:${spare}` : undefined,
  });
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
