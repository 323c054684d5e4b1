import { asyncScheduler, type Subscription } from 'rxjs';

/** What the core takes from the world outside RxJS. A spec may replace a member and must put it back. @internal */
export interface Environment {
  /** Milliseconds on a clock that never jumps; virtual inside `TestScheduler.run`. */
  now(): number;
  /** Milliseconds since 1970, for what people read; virtual inside `TestScheduler.run`. */
  wallClock(): number;
  /** Whether time is virtual: inside `TestScheduler.run`. */
  isVirtual(): boolean;
  /** Lets the process end although the timer, of `asyncScheduler`, is still to come. */
  unref(timer: Subscription): void;
  /** From 0 up to, not including, 1. */
  random(): number;
  /** Fills with random numbers that nobody outside of the process can foresee. */
  secret(words: Int32Array): void;
  /** Tells the operator of the process about a misuse or a stall; never about a message's content. */
  warn(message: string): void;
}

interface Host {
  crypto?: { getRandomValues?(words: Int32Array): unknown };
  process?: { emitWarning?(message: string, type: string): void };
}

// A TestScheduler starts at 0, a real clock passed this in 2001: it tells virtual time without a switch.
const VIRTUAL_TIME_BELOW = 1e12;

/** The one edge to clock, randomness and warnings. @internal */
export const environment: Environment = {
  now: () => (environment.isVirtual() ? asyncScheduler.now() : performance.now()),
  wallClock: () => asyncScheduler.now(),
  isVirtual: () => asyncScheduler.now() < VIRTUAL_TIME_BELOW,
  // Only Node has it. RxJS keeps the timer in `id`, which in other places is a number.
  unref: (timer) => (timer as { readonly id?: { unref?(): void } }).id?.unref?.(),
  random: () => Math.random(),
  secret: (words) => {
    const { crypto } = globalThis as Host;
    // A context of `node:vm` has none.
    if (crypto?.getRandomValues) crypto.getRandomValues(words);
    else for (let i = 0; i < words.length; i++) words[i] = Math.floor(Math.random() * 2 ** 32);
  },
  warn: (message) => {
    const { process } = globalThis as Host;
    if (process?.emitWarning) process.emitWarning(message, 'RxsluiceWarning');
    else console.warn(message);
  },
};
