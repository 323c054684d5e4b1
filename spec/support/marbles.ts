import { expect } from '@jest/globals';
import { VirtualTimeScheduler, type Observable, type Subscription } from 'rxjs';
import { TestScheduler, type RunHelpers } from 'rxjs/testing';
import { environment } from '../../lib/core/environment.js';
import { scriptedLog, type ScriptedLog, type ScriptedLogOptions } from './scripted-log.js';

/** A subscription of the spec's own and what came of it. */
export interface Drive<T> {
  readonly values: T[];
  completed: boolean;
  error: unknown;
  unsubscribe(): void;
}

export interface Marbles extends RunHelpers {
  readonly scheduler: TestScheduler;
  /** A log whose records are pushed at the times of a marble diagram: `|` ends it, `#` fails it. */
  log(input?: string, options?: ScriptedLogOptions): ScriptedLog;
  /** Runs a step at a virtual millisecond. */
  at(ms: number, step: () => void): void;
  /** Lets virtual time pass up to and including a millisecond. */
  advanceTo(ms: number): void;
  /** Subscribes now; unsubscribed at the end of the spec, after which nothing of it may be left. */
  drive<T>(observable: Observable<T>, next?: (value: T) => void): Drive<T>;
  now(): number;
}

const LONGEST_MS = 300_000;

/** Half of the range, so that a wait with full jitter is half of the longest. */
const RANDOM = 0.5;

/**
 * Runs a spec in virtual time, with fixed jitter. At the end whatever it drove is unsubscribed; then no scheduled action
 * may be left, and each log that was driven must have closed.
 */
export function marbles(spec: (helpers: Marbles) => void): void {
  const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
  const { random } = environment;
  const logs: ScriptedLog[] = [];
  const driven: Subscription[] = [];
  environment.random = () => RANDOM;
  try {
    scheduler.run((helpers) => {
      scheduler.maxFrames = LONGEST_MS;
      spec({
        ...helpers,
        scheduler,
        log: (input, options) => {
          const log = scriptedLog(options);
          if (input !== undefined) {
            helpers.hot(input).subscribe({ next: log.publish, error: log.fail, complete: log.end });
          }
          logs.push(log);
          return log;
        },
        at: (ms, step) => void scheduler.schedule(step, ms - scheduler.frame),
        advanceTo: (ms) => advanceTo(scheduler, ms),
        drive: (observable, next) => {
          const drive = driveOf(observable, next);
          driven.push(drive.subscription);
          return drive;
        },
        now: () => scheduler.now(),
      });
      for (const subscription of driven) subscription.unsubscribe();
    });
    expect(scheduler.actions).toHaveLength(0);
    if (driven.length > 0) expect(logs.filter(({ isOpen }) => isOpen)).toEqual([]);
  } finally {
    environment.random = random;
  }
}

// Not the TestScheduler's own flush: that would compare all expectations at once.
function advanceTo(scheduler: TestScheduler, ms: number): void {
  const { maxFrames } = scheduler;
  scheduler.hotObservables.splice(0).forEach((hot) => hot.setup());
  scheduler.maxFrames = ms;
  VirtualTimeScheduler.prototype.flush.call(scheduler);
  scheduler.maxFrames = maxFrames;
  scheduler.frame = ms;
}

function driveOf<T>(
  observable: Observable<T>,
  next?: (value: T) => void,
): Drive<T> & { readonly subscription: Subscription } {
  const state = { values: [] as T[], completed: false, error: undefined as unknown };
  const subscription = observable.subscribe({
    next: (value) => {
      state.values.push(value);
      next?.(value);
    },
    error: (error: unknown) => (state.error = error),
    complete: () => (state.completed = true),
  });
  return Object.assign(state, { subscription, unsubscribe: () => subscription.unsubscribe() });
}
