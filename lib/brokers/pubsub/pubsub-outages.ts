import { asyncScheduler, type Subscription } from 'rxjs';
import type { EngineReports } from '../../core/engine-reports.js';

const WHAT = 'the subscription';

/** Streams end each half hour, and are opened again at once: only so many in a row are an outage. */
const FAILURES = 3;

/** The client waits up to 60 s before it tries again (`retryMaxBackoff`): after more than that without a failure it has one. */
const SILENCE_MS = 75_000;

/** Tells an outage from a stream that is merely renewed. @internal */
export interface PubSubOutages {
  failed(error: unknown): void;
  answered(): void;
  end(): void;
}

/** `streams`: of how many the failures are told. @internal */
export function createOutages(engine: EngineReports, streams = () => 1): PubSubOutages {
  let failures = 0;
  let silence: Subscription | null = null;

  const answered = (): void => {
    if (failures === 0) return;
    failures = 0;
    silence?.unsubscribe();
    silence = null;
    engine.recovered(WHAT);
  };

  return {
    answered,
    failed: (error) => {
      failures++;
      silence?.unsubscribe();
      silence = asyncScheduler.schedule(answered, SILENCE_MS);
      if (failures >= FAILURES * streams()) engine.unavailable(WHAT, error);
    },
    end: () => silence?.unsubscribe(),
  };
}
