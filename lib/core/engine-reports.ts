import { createOutage, type Outage } from './outage.js';
import type { Session } from './session.js';
import { notify } from './telemetry.js';

/** What an adapter tells, whatever the engine; only told to telemetry. @public */
export interface EngineReports {
  /** Something that the source needs is out and being mended: told once until it is back. */
  unavailable(what: string, error: unknown): void;
  /** It is back. */
  recovered(what: string): void;
  /** Something is set up in a way that breaks a guarantee; told once a code where there is no telemetry. */
  misuse(code: string, message: string): void;
}

/** How far what is settled of a partition is behind its end, as far as the adapter knows. @public */
export interface EngineLag {
  /** In messages: from the watermark, where a restart would begin, to the end. */
  readonly lagMessages?: number;
  /** There are more than `lagMessages`: they were counted up to a bound. Default: false. */
  readonly more?: boolean;
  /** In milliseconds: the age of the oldest message that is not settled; 0 where there is none. */
  readonly lagMs?: number;
  /** How long ago the broker told of this, in milliseconds. Default: 0. */
  readonly ageMs?: number;
}

/** @internal */
export function engineReports(session: Session): EngineReports {
  const outages = new Map<string, Outage>();
  return {
    unavailable: (what, error) => {
      const outage = outages.get(what) ?? createOutage(what);
      outages.set(what, outage);
      outage.out(session, error);
    },
    recovered: (what) => {
      outages.get(what)?.over();
      outages.delete(what);
    },
    misuse: (code, message) => notify(session, { type: 'misuse', code, message }),
  };
}
