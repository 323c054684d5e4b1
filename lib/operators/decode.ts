import { from, type Observable, type Subscriber, type Subscription } from 'rxjs';
import { deferredOf, ignore, type Deferred } from '../core/deferred.js';
import type { Delivery } from '../core/delivery.js';
import { isSettled, type DeliveryNode } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { failureMark, permanent } from '../core/failures.js';
import { isBytes } from '../core/is-bytes.js';
import { kindOf } from '../core/kind-of.js';
import { operate, pass, type OperatorParts } from '../core/operate.js';
import { checkOptions } from '../core/options.js';
import type { Partition } from '../core/partition.js';
import type { Position } from '../core/position.js';
import { corked, defer } from '../core/pump.js';
import { RingQueue } from '../core/ring-queue.js';
import type { PumpTask } from '../core/session.js';
import type { TypeHints, UndecodedDeliveries } from '../core/type-hints.js';
import { isStandardSchema } from './standard-schema.js';

/**
 * Makes a value of a message's bytes; `null` is a tombstone. It may answer later, and throws what it cannot decode. A
 * string, an array or bytes are a value.
 * @public
 */
export type Codec<T> = (bytes: Uint8Array | null) => T | Deferred<T>;

interface Decoding {
  readonly delivery: DeliveryNode;
  state: 'waiting' | 'decoded' | 'gone';
  value: unknown;
  subscription: Subscription | null;
}

/**
 * Decodes bytes by a codec: `json(schema)`, `text(schema)` or a function of your own. A bare schema is refused: it would be
 * given the bytes, and find that each message is none of its kind.
 *
 * ```text
 * in           --a--b--c--|
 * settled      -----N-----      b is not decodable: a permanent failure
 * out          --A-----C--|     in order of arrival, also where decoding takes time
 * ```
 *
 * What cannot be decoded is nacked as `undecodable`, permanently, so that `retryToDlq` above it publishes the raw bytes at
 * once; an error that the codec marked (`unavailable`: the schema registry is out) keeps its class.
 * @public
 */
export function decode<T>(
  codec: TypeHints['codec'] & Codec<T>,
): <P extends Position>(source: Observable<UndecodedDeliveries<P>>) => Observable<Delivery<T, P>> {
  checkOptions(
    'decode',
    { codec },
    {
      codec: {
        required: true,
        that: {
          be: 'a codec: json(schema), text(schema) or a function of the bytes (a schema checks values, not bytes)',
          holds: (value) => typeof value === 'function' && !isStandardSchema(value),
        },
      },
    },
  );
  return operate((destination) => new Decode(destination, codec));
}

class Decode implements OperatorParts {
  /** What came after a value that is still being decoded: in credit. */
  private readonly queue = new RingQueue<Decoding>();
  private upstreamCompleted = false;
  private emitting = false;

  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly codec: (bytes: Uint8Array | null) => unknown,
  ) {}

  next(delivery: DeliveryNode): void {
    let value: unknown;
    let deferred: ReturnType<typeof deferredOf>;
    try {
      value = this.codec(delivery.value as Uint8Array | null);
      deferred = deferredOf(value);
    } catch (error) {
      delivery.fail(decodeError(delivery, error), -1);
      return;
    }
    if (this.destination.closed) {
      ignore(deferred);
      delivery.abandon();
    } else if (deferred !== null) this.waitFor(delivery, from(deferred));
    else if (this.queue.length === 0) this.emit(delivery, value);
    else this.queue.push({ delivery, state: 'decoded', value, subscription: null });
  }

  complete(): void {
    this.upstreamCompleted = true;
    this.emitReady();
  }

  teardown(): void {
    this.letGo(() => true);
  }

  onRevoke(partition: Partition): void {
    if (this.letGo(({ epoch }) => epoch === partition) > 0) defer(partition.session, this.resume);
  }

  onClose(partition: Partition): void {
    this.onRevoke(partition);
  }

  private readonly resume: PumpTask = { queued: false, run: () => this.emitReady() };

  private emitReady(): void {
    const { queue } = this;
    if (this.emitting) return;
    this.emitting = true;
    for (let head = queue.peek(); head !== undefined && head.state !== 'waiting'; head = queue.peek()) {
      queue.shift();
      if (head.state === 'decoded') this.emit(head.delivery, head.value);
    }
    this.emitting = false;
    if (this.upstreamCompleted && queue.length === 0) this.destination.complete();
  }

  private emit(delivery: DeliveryNode, value: unknown): void {
    if (!isSettled(delivery)) pass(this.destination, delivery.withResult(value));
  }

  private waitFor(delivery: DeliveryNode, deferred: Observable<unknown>): void {
    const decoding: Decoding = { delivery, state: 'waiting', value: undefined, subscription: null };
    this.queue.push(decoding);
    decoding.subscription = deferred.subscribe({
      next: (value) => (decoding.value = value),
      error: (error: unknown) => {
        if (decoding.state !== 'waiting') return;
        decoding.state = 'gone';
        delivery.fail(decodeError(delivery, error), -1);
        this.emitReady();
      },
      complete: () => {
        if (decoding.state !== 'waiting') return;
        decoding.state = 'decoded';
        // An ack below starts nothing inside these emissions.
        corked(delivery.epoch.session, () => this.emitReady());
      },
    });
  }

  private letGo(matches: (delivery: DeliveryNode) => boolean): number {
    const dropped = this.queue.extract(({ delivery }) => matches(delivery));
    for (const decoding of dropped) {
      decoding.state = 'gone';
      decoding.subscription?.unsubscribe();
      decoding.delivery.abandon();
    }
    return dropped.length;
  }
}

function decodeError(delivery: DeliveryNode, error: unknown): unknown {
  if (failureMark(error) !== undefined) return error;
  const { id, value } = delivery;
  const size = isBytes(value) ? `${value.length} bytes` : value === null ? 'tombstone' : kindOf(value);
  return permanent(
    new SluiceError('undecodable', `decode: the codec cannot read ${id} (${size}).`, { cause: error, details: { id } }),
  );
}
