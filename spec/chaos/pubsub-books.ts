import { appendFileSync, closeSync, openSync, readSync } from 'node:fs';

/** What the members of a run wrote, judged line by line. */
export interface PubSubBooks {
  /** Reads what is new. */
  read(): void;
  /** Notes that a member is killed now. */
  struck(pid: number): void;
  readonly doneCount: number;
  isDone(message: number): boolean;
  /** Whether a member has begun to work. */
  hasBegun(pid: number): boolean;
  /** How many messages a member works on. */
  atWork(pid: number): number;
  /** Started again: after a member that was killed, or failed it. */
  readonly repeats: { readonly killed: number; readonly failed: number };
  /** What is started again because of one is an anomaly all the same: none has to be refused. */
  readonly refusedAcks: number;
  readonly anomalies: readonly Anomaly[];
  readonly errors: readonly string[];
  /** All that is known of the messages of one's key. */
  story(message: number): string;
  close(): void;
}

/** What must not be. */
export interface Anomaly {
  readonly message: number;
  readonly what: string;
}

/** How the messages of a run are numbered: in runs of one key, the keys in turn. */
export interface KeyRuns {
  readonly keys: number;
  readonly run: number;
}

/** The key of a message. */
export function keyOf(message: number, { keys, run }: KeyRuns): number {
  return Math.floor(message / run) % keys;
}

/** One start of a message, and how far it came. */
interface Try {
  readonly pid: string;
  state: 'running' | 'failed' | 'done' | 'acked';
}

const BUFFER_BYTES = 1_000_000;

export function pubsubBooks(file: string, runs: KeyRuns): PubSubBooks {
  const input = openSync(file, 'a+');
  const buffer = Buffer.alloc(BUFFER_BYTES);
  const tries = new Map<number, Try>();
  const done = new Set<number>();
  const hands = new Map<string, Set<number>>();
  /** What each key's members work on. */
  const running = new Map<number, Map<number, string>>();
  const killed = new Set<string>();
  const repeats = { killed: 0, failed: 0 };
  const anomalies: Anomaly[] = [];
  const errors: string[] = [];
  let refusedAcks = 0;
  const lines = new Map<number, string[]>();
  let position = 0;
  let rest = '';

  const before = (message: number): number =>
    message % runs.run > 0 ? message - 1 : message - runs.run * (runs.keys - 1) - 1;

  const started = (message: number, pid: string): void => {
    const say = (what: string): void => void anomalies.push({ message, what });
    const last = tries.get(message);
    if (last?.state === 'failed') repeats.failed++;
    else if (last !== undefined && killed.has(last.pid) && last.state !== 'acked') repeats.killed++;
    else if (last !== undefined) say(`started by ${pid} though ${last.state} by ${last.pid}`);
    const earlier = before(message);
    if (earlier >= 0 && !done.has(earlier)) say(`started by ${pid} before ${earlier} was done`);
    const ofKey = running.get(keyOf(message, runs)) ?? new Map<number, string>();
    for (const [other, by] of ofKey) {
      if (!killed.has(by)) say(`started by ${pid} while ${by} works on ${other}`);
    }
    ofKey.set(message, pid);
    running.set(keyOf(message, runs), ofKey);
    tries.set(message, { pid, state: 'running' });
    hands.set(pid, (hands.get(pid) ?? new Set<number>()).add(message));
  };

  const ended = (message: number, pid: string, state: Try['state']): void => {
    const ofKey = running.get(keyOf(message, runs));
    if (ofKey?.get(message) === pid) ofKey.delete(message);
    const last = tries.get(message);
    if (last?.pid === pid) last.state = state;
    if (state === 'done') done.add(message);
    hands.get(pid)?.delete(message);
  };

  const take = (line: string): void => {
    const [what, text = '', pid = ''] = line.split(' ');
    if (what === 'e') errors.push(line);
    if (what === 'k') killed.add(text);
    if (what === 'r') refusedAcks++;
    if (what === 'e' || what === 'k' || what === 'r') return;
    const message = Number(text);
    const key = keyOf(message, runs);
    const ofKey = lines.get(key);
    if (ofKey === undefined) lines.set(key, [line]);
    else ofKey.push(line);
    if (what === 's') started(message, pid);
    if (what === 'f') ended(message, pid, 'failed');
    if (what === 'd') ended(message, pid, 'done');
    if (what === 'a') ended(message, pid, 'acked');
  };

  return {
    read: () => {
      for (let bytes = -1; bytes !== 0; position += bytes) {
        bytes = readSync(input, buffer, 0, BUFFER_BYTES, position);
        const parts = (rest + buffer.toString('latin1', 0, bytes)).split('\n');
        rest = parts.pop() as string;
        for (const line of parts) take(line);
      }
    },
    struck: (pid) => appendFileSync(file, `k ${pid} - ${Date.now()}\n`),
    get doneCount() {
      return done.size;
    },
    isDone: (message) => done.has(message),
    hasBegun: (pid) => hands.has(String(pid)),
    atWork: (pid) => hands.get(String(pid))?.size ?? 0,
    repeats,
    get refusedAcks() {
      return refusedAcks;
    },
    anomalies,
    errors,
    story: (message) => (lines.get(keyOf(message, runs)) ?? []).join('\n'),
    close: () => closeSync(input),
  };
}
