import { createOutage, type Outage } from './outage.js';
import { refOf, type Partition } from './partition.js';
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

/** How far behind the end a partition is read. @public */
export interface EngineLag {
  /** In messages: those that are not read yet. */
  readonly lagMessages?: number;
  /** In milliseconds. */
  readonly lagMs?: number;
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

/** @internal */
export function reportLag(partition: Partition, lag: EngineLag): void {
  notify(partition.session, { type: 'lag', partition: refOf(partition), ...lag });
}
