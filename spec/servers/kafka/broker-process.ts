import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeExit, type SupervisedCommand, type Supervisor } from '../supervise.js';
import { BRIEF_JVM, javaTool } from './java.js';
import { untilReady } from './until-ready.js';

const LOG = 'kafka.log';
const CLEAN_END_MS = 20_000;

/** Prepares the folder of the data as KRaft wants it. */
export async function formatStorage(supervisor: Supervisor, classpath: string, properties: string): Promise<void> {
  const tool = [...BRIEF_JVM, '-cp', classpath, 'kafka.tools.StorageTool'];
  // Joined by `=`, for an id may begin with a hyphen.
  const cluster = `--cluster-id=${randomBytes(16).toString('base64url')}`;
  await supervisor.run(javaTool('java'), [...tool, 'format', '--config', properties, cluster], 'format.log');
}

/** Starts the broker, and returns when it answers on the port; rejects with the end of its log where it does not. */
export async function bootBroker(
  supervisor: Supervisor,
  args: readonly string[],
  port: number,
  timeoutMs: number,
): Promise<SupervisedCommand> {
  const broker = await supervisor.start(javaTool('java'), args, LOG);
  const abandoned = new AbortController();
  const signal = AbortSignal.any([abandoned.signal, AbortSignal.timeout(timeoutMs)]);
  const ended = broker.exited.then((exit): never => {
    throw new Error(describeExit(exit));
  });
  try {
    await Promise.race([untilReady(port, signal), ended]);
  } catch (cause) {
    await broker.end('SIGKILL');
    const tooLong = signal.aborted ? `it took more than ${timeoutMs} ms` : undefined;
    const reason = tooLong ?? (cause instanceof Error ? cause.message : String(cause));
    throw new Error(`Kafka did not start: ${reason}\n${await supervisor.tail(LOG)}`, { cause });
  } finally {
    abandoned.abort();
    // When the broker ends later on, nobody waits for it here any more.
    ended.catch(() => undefined);
  }
  return broker;
}

/** Asks the broker to end, and makes it end where it does not. */
export async function endCleanly(broker: SupervisedCommand): Promise<void> {
  const patience = new AbortController();
  const late = sleep(CLEAN_END_MS, undefined, { signal: patience.signal }).then(() => broker.end('SIGKILL'));
  await Promise.race([broker.end('SIGTERM'), late]);
  patience.abort();
  await late.catch(() => undefined);
}
