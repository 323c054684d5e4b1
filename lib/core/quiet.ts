import { notify } from './telemetry.js';
import type { Session } from './session.js';

/**
 * Quiet: the source can give nothing more, and all that is out is held by our operators, so that only a flush of what
 * is gathered can move anything. Never true while a handler, or a foreign operator, still has something.
 * @internal
 */
export function isQuiet(session: Session): boolean {
  return session.waiting && isAllHeld(session);
}

/** Our operators hold all that is out: nothing of it runs. @internal */
export function isAllHeld(session: Session): boolean {
  return session.inFlight > 0 && session.held >= unitsOf(session);
}

/**
 * Tells the operators that gather that nothing runs. Upstream ones hear it first, since they joined first; what they flush into an
 * operator below is told to that one in the same round.
 *
 * Where the source may give more, they go on gathering, unless others wait for what they have: of one hot key a single
 * message can be gathered, and the next of it comes only once that one is settled.
 * @internal
 */
export function tellQuiet(session: Session): void {
  if (session.telling || !isAllHeld(session)) return;
  const { waiting, listeners } = session;
  if (!waiting && !listeners.some((listener) => listener.holdsBack === true)) return;
  session.telling = true;
  if (waiting && session.telemetry !== null) {
    notify(session, { type: 'quiet', units: unitsOf(session), held: session.held });
  }
  for (const listener of [...listeners]) {
    if (waiting) listener.onQuiet?.(session);
    else listener.onStandstill?.(session);
  }
  session.telling = false;
}

/** Live leaf deliveries: a root that was split or fanned out is the unit of one of those made of it. */
function unitsOf({ inFlight, parts }: Session): number {
  return inFlight + parts;
}
