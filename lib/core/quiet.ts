import { notify } from './telemetry.js';
import type { Session } from './session.js';

/**
 * Quiet: the source can give nothing more, and all that is out is held by our operators, so that only a flush of what
 * is gathered can move anything. Never true while a handler, or a foreign operator, still has something.
 * @internal
 */
export function isQuiet(session: Session): boolean {
  return session.waiting && session.inFlight > 0 && session.held >= unitsOf(session);
}

/**
 * Tells the operators that gather. Upstream ones hear it first, since they joined first; what they flush into an
 * operator below is told to that one in the same round.
 * @internal
 */
export function tellQuiet(session: Session): void {
  if (session.telling || !isQuiet(session)) return;
  session.telling = true;
  if (session.telemetry !== null) notify(session, { type: 'quiet', units: unitsOf(session), held: session.held });
  for (const listener of [...session.listeners]) listener.onQuiet?.(session);
  session.telling = false;
}

/** Live leaf deliveries: a root that was split or fanned out is the unit of one of those made of it. */
function unitsOf({ inFlight, parts }: Session): number {
  return inFlight + parts;
}
