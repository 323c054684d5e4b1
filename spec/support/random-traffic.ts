import { choices } from '../model/random.js';
import { marbles } from './marbles.js';
import type { Held, Publishing } from './publishing.js';

/** What is published. */
export interface TrafficShape {
  readonly seed: number;
  readonly keys: number;
  readonly messages: number;
  /** How often a call is let go while it may be under way. */
  readonly letGo: number;
}

export interface Traffic {
  readonly calls: readonly Publishing[];
  /** The messages of each call; their values are numbers, ascending over all. */
  readonly sent: readonly (readonly { readonly key: string; readonly value: string }[])[];
  /** The calls that were let go. */
  readonly gone: ReadonlySet<number>;
  /** Timers that run after the end. */
  readonly timers: number;
}

/** Publishes messages of random keys in random calls that are not waited for; closes after `forMs`, in virtual time. */
export function publishAtRandom(shape: TrafficShape, forMs: number, hold: () => Held): Traffic {
  const { below, chance } = choices(shape.seed + 1);
  const calls: Publishing[] = [];
  const gone = new Set<number>();
  const sent: { key: string; value: string }[][] = [];
  let timers = 0;
  marbles(({ at, advanceTo, scheduler }) => {
    const { publish, close } = hold();
    let left = shape.messages;
    let ms = 0;
    while (left > 0) {
      const size = Math.min(left, 1 + below(12));
      const messages = Array.from({ length: size }, () => ({
        key: `k${below(shape.keys)}`,
        value: String(shape.messages - left--),
      }));
      const call = sent.push(messages) - 1;
      at(ms, () => calls.push(publish(messages)));
      if (chance(shape.letGo)) {
        gone.add(call);
        at(ms + below(100), () => calls[call]?.letGo());
      }
      ms += below(20);
    }
    advanceTo(forMs);
    close();
    timers = scheduler.actions.length;
  });
  return { calls, sent, gone, timers };
}
