import { asyncScheduler, type Subscription } from 'rxjs';
import { environment } from '../../core/environment.js';
import type { SluiceError } from '../../core/errors.js';
import { createPatience } from '../../core/patience.js';
import type { QueueEngine } from '../../core/queue-engine.js';
import type { PubSubClientLike } from './pubsub-client.js';
import type { PubSubRecord } from './pubsub-record.js';
import { clientClosed, isMendable, pubsubFailure, pubsubSourceError } from './pubsub-source-errors.js';

const WHAT = 'the subscription';

/** Streams end each half hour, and are opened again at once: only so many in a row are an outage. */
const FAILURES = 3;

/** The client waits up to 60 s before it tries again (`retryMaxBackoff`): after more than that without a failure it has one. */
const SILENCE_MS = 75_000;

/** A refusal comes within a round trip: what has gone on for so long without one was accepted, also where no message came. */
const STEADY_MS = 10_000;

/** Tells an outage from a stream that is merely renewed, and from what will not pass. @internal */
export interface PubSubOutages {
  /** A stream that goes on has failed. */
  failed(error: unknown): void;
  /** A stream or a pull is lost; whether there may be another. Where not, the source has failed. */
  lost(error: unknown): boolean;
  answered(): void;
  end(): void;
}

/** @internal */
export interface PubSubOutagesOptions {
  readonly pubsub: PubSubClientLike;
  /** The name of the subscription, for errors. */
  readonly short: string;
  readonly refusalTimeoutMs: number;
  /** Tells how many streams report their failures. Default: one. */
  readonly streams?: () => number;
}

/** The part of the engine that is told of outages. @internal */
export type OutageReports = Pick<QueueEngine<PubSubRecord>, 'unavailable' | 'recovered' | 'fail'>;

/** @internal */
export function createOutages(
  engine: OutageReports,
  { pubsub, short, refusalTimeoutMs, streams = () => 1 }: PubSubOutagesOptions,
): PubSubOutages {
  const patience = createPatience(refusalTimeoutMs);
  const begunAt = environment.now();
  let hasWorked = false;
  let failures = 0;
  let silence: Subscription | null = null;
  // Whether this one has told of it: what another has told, of the same subscription, is not over by an answer here.
  let isTold = false;

  const answered = (): void => {
    if (failures === 0 && hasWorked) return;
    hasWorked = true;
    patience.answered(WHAT);
    if (failures === 0) return;
    failures = 0;
    silence?.unsubscribe();
    silence = null;
    if (!isTold) return;
    isTold = false;
    engine.recovered(WHAT);
  };

  const tell = (error: SluiceError): void => {
    isTold = true;
    engine.unavailable(WHAT, error);
  };

  const count = (): void => {
    if (!hasWorked && failures === 0 && environment.now() - begunAt >= STEADY_MS) answered();
    failures++;
    silence?.unsubscribe();
    silence = asyncScheduler.schedule(answered, SILENCE_MS);
  };

  const failed = (error: unknown): void => {
    count();
    if (failures >= FAILURES * streams()) tell(pubsubFailure(short, error));
  };

  const refused = (error: unknown): boolean => {
    count();
    const typed = pubsubSourceError(short, error);
    const over = patience.refused(WHAT, typed);
    if (over === null) tell(typed);
    else engine.fail(over);
    return over === null;
  };

  // That never ends the source: the service has answered the look at the subscription before. It breaks a run of refusals.
  const unreached = (error: unknown): boolean => {
    failed(error);
    patience.unreached(WHAT, pubsubSourceError(short, error));
    return true;
  };

  return {
    answered,
    failed,
    lost: (error) => {
      if (pubsub.isOpen) return isMendable(error) ? unreached(error) : refused(error);
      engine.fail(clientClosed(short));
      return false;
    },
    end: () => silence?.unsubscribe(),
  };
}
