import type { Session } from './session.js';

/**
 * Ends an inner Observable of ours, after those whose end is under way: so however many end at once, the stack does not grow.
 *
 * `mergeMap(n)` subscribes the next inner Observable of its queue inside the completion of one. Where that one ends at once
 * too, it subscribes the one after it inside of that, and so on: 1,000 that wait are 1,000 calls deep, and RxJS may lose the
 * error of an overflow. Here an end that comes inside another waits: RxJS finds the slot still taken and returns, and the
 * outermost frame runs the next. No scheduler is needed: all of them are over when that frame is.
 * @internal
 */
export function inTurn(session: Session, end: () => void): void {
  if (session.turnTaken) {
    session.turns.push(end);
    return;
  }
  session.turnTaken = true;
  try {
    for (let next: (() => void) | undefined = end; next !== undefined; next = session.turns.shift()) next();
  } finally {
    session.turnTaken = false;
    // One of them threw: the others do not wait for an end that may never come.
    const left = session.turns.shift();
    if (left !== undefined) inTurn(session, left);
  }
}
