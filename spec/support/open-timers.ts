interface Timer {
  readonly what: string;
  readonly by: string;
}

const open = new Map<unknown, Timer>();
const real = { setTimeout, setInterval, clearTimeout, clearInterval };

const end = (timer: unknown, clear: (timer: never) => void): void => {
  open.delete(timer);
  clear(timer as never);
};

const stack = (): string => String(new Error('here').stack);

// From the start: a timer that arms itself again would look new.
Object.assign(globalThis, {
  setTimeout: (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const timer = real.setTimeout(() => {
      open.delete(timer);
      run(...args);
    }, ms);
    open.set(timer, { what: 'a timeout', by: stack() });
    return timer;
  },
  setInterval: (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const timer = real.setInterval(run, ms, ...args);
    open.set(timer, { what: 'an interval', by: stack() });
    return timer;
  },
  clearTimeout: (timer: unknown) => end(timer, real.clearTimeout),
  clearInterval: (timer: unknown) => end(timer, real.clearInterval),
});

/**
 * A word for each timer that code of this spec file has begun and that has neither fired nor been cleared; timers of the
 * runner are not among them, as they are in `process.getActiveResourcesInfo`. `except` names code whose timers do not count.
 */
export function openTimers(except?: RegExp): string[] {
  return [...open.values()].filter(({ by }) => except?.test(by) !== true).map(({ what }) => what);
}
