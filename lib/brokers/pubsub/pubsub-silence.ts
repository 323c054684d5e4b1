import { Subscription } from 'rxjs';
import { callPubSub } from './pubsub-call.js';
import type { PubSubClientLike } from './pubsub-client.js';
import { grpcCodeOf, grpcNameOf, isFatalCode } from './pubsub-errors.js';
import { later } from './pubsub-later.js';
import { shortName } from './pubsub-names.js';
import { createOutages, type OutageReports } from './pubsub-outages.js';
import { pubsubSourceError } from './pubsub-source-errors.js';

/**
 * Asks where nothing comes. A connection that is dead without a word, as where a firewall forgot it, looks like a subscription
 * without messages: streams stay open, and pulls run out of time either way.
 * @internal
 */
export interface PubSubSilence {
  start(): void;
  /** Something came. */
  heard(): void;
  end(): void;
}

/** After as long without anything it is asked. */
const QUIET_MS = 60_000;

/** While there is no answer. */
const AGAIN_MS = 5_000;

/** An answer takes far less. */
const ANSWER_MS = 10_000;

/** @internal */
export function createSilence(
  engine: OutageReports,
  pubsub: PubSubClientLike,
  subscription: string,
  { requestTimeoutMs, refusalTimeoutMs }: { readonly requestTimeoutMs: number; readonly refusalTimeoutMs: number },
): PubSubSilence {
  // Its own count: a stream that fails is not mended by an answer.
  const short = shortName(subscription);
  const outages = createOutages(engine, { pubsub, short, refusalTimeoutMs });
  const timers = new Subscription();
  let isQuiet = true;

  const look = (waitMs: number): void => later(timers, waitMs, ask);

  const ask = (): void => {
    if (!isQuiet) {
      isQuiet = true;
      look(QUIET_MS);
      return;
    }
    const call = callPubSub(pubsub, 'getSubscription', { subscription }, Math.min(ANSWER_MS, requestTimeoutMs));
    timers.add(call.subscribe({ complete: went, error: (error: unknown) => (isAnswer(error) ? went() : lost(error)) }));
  };

  const went = (): void => {
    outages.answered();
    look(QUIET_MS);
  };

  const lost = (error: unknown): void => {
    outages.failed(pubsubSourceError(short, error, 'connection-failed'));
    look(AGAIN_MS);
  };

  return {
    start: () => look(QUIET_MS),
    heard: () => {
      isQuiet = false;
      outages.answered();
    },
    end: () => {
      outages.end();
      timers.unsubscribe();
    },
  };
}

/** A refusal is an answer: who may read it need not be allowed to look at it, or others look too often. */
function isAnswer(error: unknown): boolean {
  const code = grpcCodeOf(error);
  return code !== null && (isFatalCode(code) || grpcNameOf(error) === 'RESOURCE_EXHAUSTED');
}
