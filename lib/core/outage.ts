import { briefError } from './brief-error.js';
import { warnOf } from './process-warnings.js';
import type { Session } from './session.js';
import { notify, type TelemetryEvent } from './telemetry.js';

/** Something that a pipeline needs, as its operators find it: out, or back. Told once until it is over. @internal */
export interface Outage {
  /**
   * It failed, or failed again. `null` where nobody is known yet to tell it to. `isNews: false`: what failed had failed before, and may
   * be to blame itself; so that tells of no new outage.
   */
  out(session: Session | null, error: unknown, isNews?: boolean): void;
  over(): void;
}

interface Told {
  readonly session: Session;
  readonly event: TelemetryEvent;
  /** As the session knows of it, for what is said of the messages that wait. */
  readonly words: string;
}

/** @internal */
export function createOutage(what: string): Outage {
  let told: Told | null = null;
  return {
    out: (session, error, isNews = true) => {
      // Where warnings of it were too many, this one may be due.
      if (told !== null && !told.session.closed) {
        if (told.session.telemetry === null) warnOf(told.session, told.event);
        return;
      }
      if (session === null || !isNews) return;
      told = {
        session,
        event: { type: 'unavailable', what, error },
        words: `At the moment ${what} is out: ${briefError(error)}`,
      };
      session.outages.add(told.words);
      notify(session, told.event);
    },
    over: () => {
      if (told === null) return;
      const { session, words } = told;
      told = null;
      session.outages.delete(words);
      notify(session, { type: 'recovered', what });
    },
  };
}
