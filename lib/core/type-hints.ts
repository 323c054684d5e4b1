import type { Delivery } from './delivery.js';
import type { Position } from './position.js';

/**
 * Hints that the compiler shows where an operator is given something else than it takes. A `hint` is text for people, in a type: it is
 * never there at run time. Each stands in a type of its own, which is compared first, so that the compiler names one thing that is
 * missing, beside the hint, and not eleven.
 * @public
 */
export interface TypeHints {
  /** Each of our operators takes this. */
  readonly deliveries: {
    ack(): void;
    readonly hint?: 'operators of rxsluice take deliveries: mapValue, not map; delivery.withValue, not a spread; ackEach last';
  };
  /** `decode` takes this. */
  readonly bytes: {
    readonly byteLength: number;
    readonly hint?: 'decode takes the bytes of the source: it stands once, above all that changes the value';
  };
  /** A codec has no such member, and a schema has it. */
  readonly codec: {
    readonly '~standard'?: 'a schema checks values, not bytes: decode(json(schema)), or decode(text(schema))';
  };
  /** `by` of `ordered` gives this where it gives no text, number, `null` or `undefined`. */
  readonly keyBytes: {
    readonly byteLength: number;
    readonly hint?: 'a key is text, bytes or a number, given at once: it is not waited for';
  };
  /** A value that a function gives at once has no such member. */
  readonly value: { readonly hint: 'this function is not waited for: use handle() for one that returns a Promise' };
  /** A part of `split` has no such member. */
  readonly part: { readonly hint: 'a part is a value, not a Promise: split first, then handle() each part' };
}

/** The deliveries of a kind, as an operator takes them: with a hint for whoever gives something else. @public */
export type Taken<D> = TypeHints['deliveries'] & D;

/** The same by their value and position. @public */
export type Deliveries<T, P extends Position = Position> = Taken<Delivery<T, P>>;

/** The deliveries that `decode` takes: their values are still bytes. @public */
export type UndecodedDeliveries<P extends Position = Position> = Taken<
  { readonly value: TypeHints['bytes'] | null } & Delivery<Uint8Array | null, P>
>;

/** Fails to compile where a function that must give its value at once returns a Promise, and says what to do. @public */
export type AtOnce<R, Hint = TypeHints['value']> = 0 extends 1 & R ? unknown : [R] extends [never] ? unknown : Hint;
