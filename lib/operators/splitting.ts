import { giveUpOn } from '../core/at-once.js';
import { isPromiseLike } from '../core/deferred.js';
import type { DeliveryNode } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { permanent } from '../core/failures.js';
import { kindOf } from '../core/kind-of.js';
import { Tally } from '../core/tally.js';

/** @internal */
export type SplitFunction = (value: unknown, delivery: DeliveryNode) => unknown;

/** What `pull` answers after the last part. @internal */
export const END: unknown = {};

/** One delivery and how far its parts are pulled. @internal */
export class Splitting {
  readonly tally: Tally;
  /** The number of parts made, hence the index of the next one. */
  made = 0;
  /** It was asked for a part. */
  begun = false;
  /** Nothing more is pulled: after the last part, after a failure, or let go. */
  ended = false;
  /** It waits, counted as held. */
  held = false;
  /** Its neighbours by time of the first pull. */
  before: Splitting | null = null;
  after: Splitting | null = null;
  /** `null` also while its own code runs, and once it has nothing left to close. */
  private iterator: Iterator<unknown, unknown> | null = null;

  constructor(delivery: DeliveryNode) {
    this.tally = new Tally(delivery);
  }

  /** The next part, or `END`. Throws what the user's code throws, and where a bound is passed. */
  pull(fn: SplitFunction, maxParts: number): unknown {
    const iterator = this.begun ? (this.iterator as Iterator<unknown, unknown>) : this.begin(fn, maxParts);
    this.iterator = null;
    const { done, value } = iterator.next();
    if (done === true) return END;
    this.iterator = iterator;
    if (isPromise(value)) throw notAPart(this.tally.delivery, value, iterator);
    if (this.made === maxParts) throw tooMany(this.tally.delivery, maxParts, null);
    return value;
  }

  /** Whether parts are left that will not be pulled: asks for one, and starts it nowhere. */
  isCutShort(): boolean {
    const { iterator } = this;
    if (iterator === null) return true;
    this.iterator = null;
    try {
      if (iterator.next().done === true) return false;
    } catch {
      return true;
    }
    this.iterator = iterator;
    return true;
  }

  /** Tells the iterator that nothing more is wanted. */
  close(): void {
    const { iterator } = this;
    this.iterator = null;
    try {
      iterator?.return?.();
    } catch {
      // There is nothing left to fail: what becomes of the delivery is decided.
    }
  }

  private begin(fn: SplitFunction, maxParts: number): Iterator<unknown, unknown> {
    const { delivery } = this.tally;
    this.begun = true;
    const parts = fn(delivery.value, delivery);
    if (!isIterable(parts)) throw notIterable(delivery, parts);
    // What is known before has no part started.
    if (Array.isArray(parts) && parts.length > maxParts) throw tooMany(delivery, maxParts, parts.length);
    return parts[Symbol.iterator]();
  }
}

function isIterable(parts: unknown): parts is Iterable<unknown> {
  if (typeof parts !== 'object' || parts === null || ArrayBuffer.isView(parts)) return false;
  return typeof (parts as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function';
}

function isPromise(value: unknown): boolean {
  return typeof value === 'object' && value !== null && isPromiseLike(value);
}

// The other Promises of an array run already, and each could end the process. A generator has made none of them yet.
function notAPart({ id }: DeliveryNode, part: unknown, parts: Iterator<unknown, unknown>): Error {
  giveUpOn(part);
  if (Object.prototype.toString.call(parts) === '[object Array Iterator]') {
    for (let next = parts.next(); next.done !== true; next = parts.next()) giveUpOn(next.value);
  }
  return permanent(
    new SluiceError(
      'invalid-parts',
      `split: a part of ${id} is a Promise. Split first, then let handle() do the work.`,
      {
        details: { id },
      },
    ),
  );
}

function notIterable({ id }: DeliveryNode, parts: unknown): Error {
  giveUpOn(parts);
  const got = ArrayBuffer.isView(parts) ? 'bytes' : kindOf(parts);
  return permanent(
    new SluiceError(
      'invalid-parts',
      `split: the parts of ${id} must be an array or another iterable object, not ${got}. What arrives over time goes ` +
        'through handle first.',
      { details: { id } },
    ),
  );
}

function tooMany({ id }: DeliveryNode, maxParts: number, parts: number | null): Error {
  const count = parts === null ? `more than ${maxParts}` : String(parts);
  const text = `split: ${id} has ${count} parts, maxParts allows ${maxParts}. Raise it, or send smaller messages.`;
  const details = parts === null ? { id, maxParts } : { id, maxParts, parts };
  return permanent(new SluiceError('too-many-parts', text, { details }));
}
