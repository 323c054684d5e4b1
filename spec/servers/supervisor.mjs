// Runs commands in a folder of its own. However the process that started it ends, SIGKILL included, the channel between
// them closes, and then the commands and the folder go too. It is detached: Ctrl-C reaches it as that close alone.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = await mkdtemp(join(tmpdir(), process.argv[2]));
const running = new Map();
const PATIENCE_MS = 5_000;
let ending = false;

process.on('message', ({ run, signal, id }) => {
  if (run) start(id, run);
  else running.get(id)?.child.kill(signal);
});
process.on('disconnect', () => {
  ending = true;
  for (const { child, lastSignal } of running.values()) child.kill(lastSignal);
  setTimeout(() => {
    for (const { child } of running.values()) child.kill('SIGKILL');
  }, PATIENCE_MS).unref();
  void removeWhenEmpty();
});
// The start may have been given up while the folder was made.
if (process.connected) tell({ folder });
else await rm(folder, { recursive: true, force: true });

function start(id, { command, args, log, options: { uid, gid, env, lastSignal = 'SIGKILL' } = {} }) {
  const output = openSync(join(folder, log), 'a');
  const stdio = ['ignore', output, output];
  const child = spawn(command, args, { cwd: folder, stdio, uid, gid, env: { ...process.env, ...env } });
  closeSync(output);
  running.set(id, { child, lastSignal });
  const gone = (exit) => {
    if (!running.delete(id)) return;
    tell({ id, exit });
    void removeWhenEmpty();
  };
  child.once('spawn', () => tell({ id, pid: child.pid }));
  child.once('error', ({ message }) => gone({ code: null, signal: null, error: message }));
  child.once('exit', (code, signal) => gone({ code, signal }));
}

async function removeWhenEmpty() {
  if (ending && running.size === 0) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}

function tell(message) {
  if (process.connected) process.send(message, () => {});
}
