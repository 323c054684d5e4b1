import { isPromiseLike, whenSettled } from './deferred.js';
import type { DeliveryNode } from './delivery-node.js';
import { SluiceError } from './errors.js';
import { permanent } from './failures.js';
import { misuse } from './telemetry.js';

/**
 * Throws for a Promise of a function whose answer is not waited for: taken as a value, it would go on as one, and end the process
 * where it is rejected.
 * @internal
 */
export function mustBeAtOnce(owner: string, delivery: DeliveryNode, result: unknown): void {
  if (typeof result === 'object' && result !== null && isPromiseLike(result)) throw notAtOnce(owner, delivery, result);
}

function notAtOnce(owner: string, { id, epoch }: DeliveryNode, result: unknown): Error {
  giveUpOn(result);
  const text = `${owner}: the function gave a Promise, and nobody waits for it`;
  misuse(epoch.session, `${owner}-not-at-once`, `${text}. Use handle() for work that takes time.`);
  return invalidResult(`${text}, for ${id}. Use handle() for work that takes time.`, id);
}

/** @internal */
export function invalidResult(text: string, id: string): Error {
  return permanent(new SluiceError('invalid-result', text, { details: { id } }));
}

/**
 * Catches the rejection of what nobody waits for. Only of a Promise: to call `then` of a query builder would run the query.
 * @internal
 */
export function giveUpOn(result: unknown): void {
  if (Object.prototype.toString.call(result) !== '[object Promise]') return;
  whenSettled(
    result as PromiseLike<unknown>,
    () => undefined,
    () => undefined,
  );
}
