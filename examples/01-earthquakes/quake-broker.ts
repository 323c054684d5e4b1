import type { Observable } from 'rxjs';
import type { Delivery, Message, Publisher, SourceOptions } from 'rxsluice';

/** How many deliveries may be out at once. */
export const MAX_IN_FLIGHT = 256;

export const PARTITIONS = 4;

/** A broker with a topic for quakes, one for dead letters and one for alerts. */
export interface QuakeBroker {
  /** What it is, to finish "on …". */
  readonly name: string;
  readonly feed: Publisher<Message>;
  /** Reads the feed to its end, or until it is told to stop. */
  readonly source: (options: Pick<SourceOptions, 'telemetry' | 'stop'>) => Observable<Delivery<Uint8Array | null>>;
  readonly deadLetters: Publisher<Message>;
  readonly alerts: Publisher<Message>;
  /** What the topic of dead letters holds. */
  readonly storedDeadLetters: () => Promise<readonly StoredMessage[]>;
  /** What the topic of alerts holds. */
  readonly storedAlerts: () => Promise<readonly StoredMessage[]>;
}

export type StoredMessage = Pick<Delivery<Uint8Array | null>, 'value' | 'headers'>;
