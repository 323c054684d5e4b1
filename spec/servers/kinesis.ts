import { kinesisCommand, type KinesisServerName } from './kinesis/command.js';
import { startServerProcess, type ServerProcess } from './server-process.js';
import { untilAnswers } from './until-answers.js';
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

/** A test server of Kinesis. After a restart it has the same port, and no streams. */
export interface KinesisServer extends ServerProcess {
  readonly name: KinesisServerName;
  /** For the client: on 127.0.0.1, without TLS. */
  readonly endpoint: string;
}

/** Starts a test server of Kinesis on a free port of 127.0.0.1. */
export async function startKinesis(name: KinesisServerName, options: StartKinesisOptions = {}): Promise<KinesisServer> {
  const { config = {}, startTimeoutMs = 300_000 } = options;
  const missing = whyNoKinesis(name);
  if (missing !== undefined) throw new Error(missing);
  const server = await startServerProcess({
    what: name,
    prefix: `rxsluice-${name}-`,
    log: 'kinesis.log',
    timeoutMs: startTimeoutMs,
    command: (ports) => kinesisCommand(name, ports, config),
    // A refusal is an answer.
    untilReady: ({ port }, signal) => untilAnswers(endpointOf(port), signal, () => true),
  });
  return Object.assign(server, { name, endpoint: endpointOf(server.ports.port) });
}

function endpointOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}
