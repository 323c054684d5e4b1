import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { transient } from 'rxsluice';
import type { Sink } from './pipeline.js';

export interface FlakySinkOptions {
  readonly seed: string;
  /** The share of the calls that fail, 0 to 1. */
  readonly failureRate: number;
}

export interface FlakySink {
  readonly store: Sink;
  /** The most calls that ever ran at once. */
  readonly peak: () => number;
}

/** Stands for a database over a network: takes a few milliseconds and fails now and then, the same ways each run. */
export function flakySink({ seed, failureRate }: FlakySinkOptions): FlakySink {
  let running = 0;
  let peak = 0;
  return {
    peak: () => peak,
    store: async (quake, { attempt, signal }) => {
      peak = Math.max(peak, ++running);
      try {
        // By id and attempt, not by a shared generator: timing then changes nothing.
        const chance = chanceOf(`${seed}/${quake.id}/${attempt}`);
        await sleep(1 + Math.floor(chance * 4), undefined, { signal });
        if (chanceOf(`fault/${seed}/${quake.id}/${attempt}`) < failureRate)
          throw transient(new Error('connection reset'));
        return quake;
      } finally {
        running--;
      }
    },
  };
}

/** A number from 0 up to 1 that is always the same for a text. */
function chanceOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32;
}
