import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { endWithin, startChild } from './children.js';

/** Processes of one file, by their roles. */
export interface Members<S extends { readonly role: string }> {
  /** `fault`: the member ends itself there. */
  start(settings: S, fault?: string): void;
  /** Kills one of those that live, by its number. */
  kill(role: S['role'], index: number): void;
  /** The ids of those that were killed. */
  readonly killedPids: ReadonlySet<string>;
  /** When the next one of a role is gone. */
  killed(role: S['role']): Promise<void>;
  /** Ends all of them, cleanly where they can. */
  end(): Promise<void>;
}

const CLEAN_MS = 15_000;

export function createMembers<S extends { readonly role: string }>(file: URL): Members<S> {
  const living: { readonly role: string; readonly child: ChildProcess }[] = [];
  const waiting: { readonly role: string; readonly resolve: () => void }[] = [];
  const of = (role: string): ChildProcess[] => living.filter((each) => each.role === role).map(({ child }) => child);
  const killedPids = new Set<string>();
  return {
    killedPids,
    start: (settings, fault) => {
      const { role } = settings;
      const child = startChild(fileURLToPath(file), settings, { RXSLUICE_FAULT: fault ?? '' });
      const member = { role, child };
      living.push(member);
      child.once('exit', (_code, signal) => {
        if (signal === 'SIGKILL') killedPids.add(String(child.pid));
        living.splice(living.indexOf(member), 1);
        for (const each of waiting.filter((one) => one.role === role)) each.resolve();
      });
    },
    kill: (role, index) => {
      const its = of(role);
      its[index % its.length]?.kill('SIGKILL');
    },
    killed: (role) => new Promise((resolve) => waiting.push({ role, resolve })),
    end: async () => {
      await Promise.all(living.map(({ child }) => endWithin(child, CLEAN_MS)));
    },
  };
}
