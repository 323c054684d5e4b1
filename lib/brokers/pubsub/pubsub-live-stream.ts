import { asyncScheduler, merge, type Observable, type Subscription } from 'rxjs';
import { exponential, waitOf } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import type { PubSubMessageLike, PubSubStreamLike } from './pubsub-client.js';
import { groupsOf } from './pubsub-groups.js';
import type { PubSubStreamOptions } from './pubsub-stream-options.js';
import { forgetHeld, heldBy, undispensedOf, type HeldByStream } from './pubsub-undispensed.js';

/** What the client says on `debug` of a call or a stream that failed; nothing of it is sure to be there. */
interface DebugErrorLike {
  readonly code?: unknown;
  readonly ackIds?: readonly unknown[];
  readonly message?: string;
}

/** What the streams of a source have in common. @internal */
export interface LiveStreamOwner {
  /** A subscription object of our own, with no listener yet. */
  open(): PubSubStreamLike;
  receive(message: PubSubMessageLike): void;
  giveBack(ackIds: readonly string[]): Observable<unknown>;
  /** A stream was lost; whether it may be opened again. */
  lost(error: unknown): boolean;
  /** A stream that goes on has failed. */
  failed(error: unknown): void;
  /** So many acks failed. */
  ackFailed(error: unknown, acks: number): void;
  /** Whether a stream that already brought this, all of it unsettled, has to wait before it is opened again. */
  isTooMuch(held: HeldByStream): boolean;
}

/** One stream that is kept open: where it is lost, another takes its place. @internal */
export interface LiveStream {
  connect(): void;
  /** Ends it, until it is resumed. */
  pause(): void;
  /** Opens it, where it was paused. */
  resume(): void;
  /** Has it opened with these from the next time on. */
  retune(options: PubSubStreamOptions): void;
  /** Ends it for good; `options` are for what it still has. */
  leave(options: PubSubStreamOptions): void;
  /** `done` is called once all that it ever opened is closed. */
  whenClosed(done: () => void): void;
}

/** A stream that was open for so long was not refused, though nothing may have come over it. */
const STEADY_MS = 60_000;

/** How often is looked for what a stream that closes was about to hand out, and whether one that waits for room has it. */
const LOOK_MS = 100;

/** @internal */
export function createLiveStream(owner: LiveStreamOwner): LiveStream {
  const backoff = exponential({ initialMs: 100, maxMs: 30_000 });
  // All that are not closed yet: those before the last one wait for what they gave.
  const open = new Set<PubSubStreamLike>();
  const closing = new WeakSet<PubSubStreamLike>();
  let waiters: (() => void)[] = [];
  let current: PubSubStreamLike | null = null;
  let paused = false;
  let left = false;
  let failures = 0;
  let openedAt = 0;
  let reopening: Subscription | null = null;

  const connect = (): void => {
    const stream = owner.open();
    current = stream;
    openedAt = environment.now();
    open.add(stream);
    // Without a listener of its errors the process would end by one that comes late.
    stream.on('error', (error) => lost(stream, error));
    stream.on('close', () => {
      lost(stream, null);
      closed(stream);
    });
    stream.on('debug', ({ error }) => onDebug(stream, error ?? {}));
    stream.on('message', (message) => {
      failures = 0;
      owner.receive(message);
    });
  };

  const closed = (stream: PubSubStreamLike): void => {
    if (closing.has(stream)) return;
    closing.add(stream);
    // What its last calls brought is here one turn later, and not to be given back by a stream that is closed.
    asyncScheduler.schedule(() => {
      const groups = groupsOf(undispensedOf(stream).map(({ ackId }) => ackId));
      forgetHeld(stream);
      // Where it fails, they come again once their leases have run out.
      merge(...groups.map(owner.giveBack)).subscribe({ error: () => gone(stream), complete: () => gone(stream) });
    });
  };

  const gone = (stream: PubSubStreamLike): void => {
    open.delete(stream);
    if (open.size > 0) return;
    for (const done of waiters) done();
    waiters = [];
  };

  const lost = (stream: PubSubStreamLike, error: unknown): void => {
    if (stream !== current) return;
    current = null;
    // Not each error ends its stream: one that goes on would be read beside the next.
    if (error !== null) end(stream);
    if (left || !owner.lost(error ?? new Error('the stream was closed'))) return;
    // Where messages are rare, failures that are hours apart would make each wait longer than the one before.
    failures = environment.now() - openedAt < STEADY_MS ? failures + 1 : 1;
    reopen(waitOf(backoff, failures));
  };

  const reopen = (delayMs: number): void => {
    reopening ??= asyncScheduler.schedule(() => {
      reopening = null;
      if (left || paused) return;
      if (isFull()) reopen(LOOK_MS);
      else connect();
    }, delayMs);
  };

  // The service counts what is out of a stream anew when it is opened, whatever is held of the one before.
  const isFull = (): boolean => {
    const all = { messages: 0, bytes: 0 };
    for (const stream of open) {
      const { messages, bytes } = heldBy(stream);
      all.messages += messages;
      all.bytes += bytes;
    }
    return owner.isTooMuch(all);
  };

  // Not from within its own event: the client has yet to plan that it opens it again, and would leave the timer behind.
  const endIfFull = (stream: PubSubStreamLike): void => {
    asyncScheduler.schedule(() => {
      if (stream !== current || left || !isFull()) return;
      endCurrent();
      reopen(LOOK_MS);
    });
  };

  const onDebug = (stream: PubSubStreamLike, error: DebugErrorLike): void => {
    if (error.ackIds !== undefined) {
      if (/"ack"/.test(error.message ?? '')) owner.ackFailed(error, error.ackIds.length);
    } else if (stream === current && typeof error.code === 'number') {
      owner.failed(error);
      endIfFull(stream);
    }
  };

  const end = (stream: PubSubStreamLike): void => {
    const looking = asyncScheduler.schedule(function look() {
      for (const message of undispensedOf(stream)) message.nack();
      this.schedule(undefined, LOOK_MS);
    }, LOOK_MS);
    const ended = (): void => {
      looking.unsubscribe();
      closed(stream);
    };
    stream.close().then(ended, ended);
  };

  const endCurrent = (): void => {
    const last = current;
    current = null;
    if (last !== null) end(last);
  };

  return {
    connect,
    pause: () => {
      paused = true;
      endCurrent();
    },
    resume: () => {
      if (!paused) return;
      paused = false;
      if (!left) reopen(0);
    },
    retune: (options) => current?.setOptions(options),
    leave: (options) => {
      left = true;
      reopening?.unsubscribe();
      // Those before it end by themselves, once what they gave is settled.
      current?.setOptions(options);
      endCurrent();
    },
    whenClosed: (done) => {
      if (open.size === 0) done();
      else waiters.push(done);
    },
  };
}
