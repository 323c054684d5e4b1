import type { QueueAdapter } from '../../core/queue-engine.js';

/** One of the two ways to read a subscription. @internal */
export interface PubSubReader<R> extends QueueAdapter<R> {
  /** Reads over one stream less, or with one pull less: another source over the client needs it. */
  lessen(): void;
  /** Reads over one more. */
  more(): void;
}
