import { randomBytes } from 'node:crypto';
import { boot } from '../boot.js';
import type { SupervisedCommand, Supervisor } from '../supervise.js';
import { BRIEF_JVM, javaTool } from './java.js';
import { untilReady } from './until-ready.js';

const LOG = 'kafka.log';

/** What the brokers of one cluster share. */
export function newClusterId(): string {
  return randomBytes(16).toString('base64url');
}

/** Prepares the folder of the data as KRaft wants it. */
export async function formatStorage(
  supervisor: Supervisor,
  classpath: string,
  properties: string,
  clusterId = newClusterId(),
): Promise<void> {
  const tool = [...BRIEF_JVM, '-cp', classpath, 'kafka.tools.StorageTool'];
  // Joined by `=`, for an id may begin with a hyphen.
  const cluster = `--cluster-id=${clusterId}`;
  await supervisor.run(javaTool('java'), [...tool, 'format', '--config', properties, cluster], 'format.log');
}

/** Starts the broker, and returns when it answers on the port; rejects with the end of its log where it does not. */
export function bootBroker(
  supervisor: Supervisor,
  args: readonly string[],
  port: number,
  timeoutMs: number,
): Promise<SupervisedCommand> {
  return boot({
    what: 'Kafka',
    supervisor,
    log: LOG,
    timeoutMs,
    start: () => supervisor.start(javaTool('java'), args, LOG),
    untilReady: (signal) => untilReady(port, signal),
  });
}
