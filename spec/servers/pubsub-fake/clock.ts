/** Real time that specs can put forward. */
export interface FakeClock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Runs this at a time, or as soon as the clock is put past it; returns what cancels it. */
  at(time: number, run: () => void): () => void;
  /** Puts the clock forward and runs what is due then. */
  advance(ms: number): void;
  /** Cancels all that is to be run. */
  clear(): void;
}

interface Alarm {
  readonly time: number;
  readonly run: () => void;
  timer?: NodeJS.Timeout;
}

/** A clock that keeps no process alive. */
export function fakeClock(): FakeClock {
  let offset = 0;
  const alarms = new Set<Alarm>();
  const now = (): number => performance.now() + offset;
  const set = (alarm: Alarm): void => {
    clearTimeout(alarm.timer);
    alarm.timer = setTimeout(alarm.run, Math.max(alarm.time - now(), 0)).unref();
  };
  const cancel = (alarm: Alarm): void => {
    clearTimeout(alarm.timer);
    alarms.delete(alarm);
  };

  return {
    now,
    at: (time, run) => {
      const alarm: Alarm = {
        time,
        run: () => {
          cancel(alarm);
          run();
        },
      };
      alarms.add(alarm);
      set(alarm);
      return () => cancel(alarm);
    },
    advance: (ms) => {
      offset += ms;
      for (const alarm of [...alarms]) {
        if (alarm.time <= now()) alarm.run();
        else set(alarm);
      }
    },
    clear: () => {
      for (const alarm of alarms) clearTimeout(alarm.timer);
      alarms.clear();
    },
  };
}
