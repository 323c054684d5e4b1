import { setTimeout as sleep } from 'node:timers/promises';
import { describeExit, type SupervisedCommand, type Supervisor } from './supervise.js';

const CLEAN_END_MS = 20_000;

/** What a server needs to be started. */
export interface Boot {
  /** In words, for errors. */
  readonly what: string;
  readonly supervisor: Supervisor;
  /** Where the server writes; its end is in the error of a start that fails. */
  readonly log: string;
  readonly timeoutMs: number;
  start(): Promise<SupervisedCommand>;
  /** Resolves when the server answers; rejects when the signal comes first. */
  untilReady(signal: AbortSignal): Promise<void>;
}

/** Starts a server, and returns when it answers; rejects with the end of its log where it does not. */
export async function boot({ what, supervisor, log, timeoutMs, start, untilReady }: Boot): Promise<SupervisedCommand> {
  const abandoned = new AbortController();
  const signal = AbortSignal.any([abandoned.signal, AbortSignal.timeout(timeoutMs)]);
  const begunAt = performance.now();
  // The signal's timer is late where this process is busy.
  const tooLong = (): boolean => performance.now() - begunAt > timeoutMs;
  const server = await start();
  const ended = server.exited.then((exit): never => {
    throw new Error(describeExit(exit));
  });
  try {
    await Promise.race([untilReady(signal), ended]);
    if (tooLong()) throw new Error('too late');
  } catch (cause) {
    const late = signal.aborted || tooLong() ? `it took more than ${timeoutMs} ms` : undefined;
    await server.end('SIGKILL');
    const reason = late ?? (cause instanceof Error ? cause.message : String(cause));
    throw new Error(`${what} did not start: ${reason}\n${await supervisor.tail(log)}`, { cause });
  } finally {
    abandoned.abort();
    // When the server ends later on, nobody waits for it here any more.
    ended.catch(() => undefined);
  }
  return server;
}

/** Asks a server to end, and makes it end where it does not. */
export async function endCleanly(server: SupervisedCommand, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const patience = new AbortController();
  const late = sleep(CLEAN_END_MS, undefined, { signal: patience.signal }).then(() => server.end('SIGKILL'));
  await Promise.race([server.end(signal), late]);
  patience.abort();
  await late.catch(() => undefined);
}
