import { asyncScheduler, Observable } from 'rxjs';
import type { Delivery } from './delivery.js';
import type { DeliveryNode } from './delivery-node.js';
import { isSluiceError, nameOf, SluiceError } from './errors.js';
import { startLagTimer } from './lag-timer.js';
import { endAfterOverflow, endWhenIdle, fail, stop, unsubscribe } from './lifecycle.js';
import type { Position } from './position.js';
import { corked, pump } from './pump.js';
import type { RecordShape } from './record-shape.js';
import { createSession, type Engine, type Session } from './session.js';
import type { ResolvedOptions } from './source-options.js';
import { answersLater, listenForStop } from './stop-signal.js';

/** An engine before it knows its session. @internal */
export interface EngineSetup {
  readonly engine: Engine;
  /** Makes the adapter and starts it; called corked. */
  start(session: Session): void;
}

/** @internal */
export interface SourceIdentity<R, P extends Position> {
  readonly name: string;
  readonly group?: string;
  readonly shape: RecordShape<R, P>;
}

/** A cold source: each subscription has a session, an engine and an adapter of its own. @internal */
export function createSource<R, P extends Position>(
  identity: SourceIdentity<R, P>,
  options: ResolvedOptions,
  setUp: () => EngineSetup,
): Observable<Delivery<Uint8Array | null, P>> {
  const { name: owner, shape } = identity;
  const source = new Observable<DeliveryNode>((subscriber) => {
    // `combineLatest` subscribes the others after one has failed: nobody would ever close what is opened now.
    if (subscriber.closed) return;
    const { engine, start } = setUp();
    const session = createSession({
      subscriber,
      options,
      shape: shape,
      engine,
      group: identity.group ?? null,
    });
    session.onIdle = () => endWhenIdle(session);
    session.onOverflow = () => endAfterOverflow(session);
    let unlisten: (() => void) | null = null;
    subscriber.add(() => {
      unlisten?.();
      unsubscribe(session);
    });
    const begin = (): void => {
      // Stopped before it began, it opens nothing and reads nothing.
      if (session.stopping || subscriber.closed) return;
      startLagTimer(session);
      corked(session, () => {
        try {
          start(session);
        } catch (cause) {
          fail(session, sourceError(owner, cause));
        }
      });
      pump(session);
    };
    if (options.stop === null) {
      begin();
      return;
    }
    unlisten = listenForStop(
      options.stop,
      () => stop(session),
      (cause) => fail(session, sourceError(owner, cause)),
    );
    if (subscriber.closed) unlisten();
    // A Promise that is resolved already says so in a moment, and a fast source would have read by then.
    else if (answersLater(options.stop)) subscriber.add(asyncScheduler.schedule(begin));
    else begin();
  });
  return source as unknown as Observable<Delivery<Uint8Array | null, P>>;
}

/** The typed error that ends a stream (I7). @internal */
export function sourceError(owner: string, cause: unknown): SluiceError {
  if (isSluiceError(cause)) return cause;
  const text = `${owner} cannot go on: ${nameOf(cause)}. The cause says more.`;
  return new SluiceError('source-failed', text, { cause, details: { owner } });
}
