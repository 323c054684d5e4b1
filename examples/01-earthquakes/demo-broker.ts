import type { Observable } from 'rxjs';
import type { Delivery, Message, MessageHeaders, Publisher, SourceOptions } from 'rxsluice';

/** A dead letter as it lies in its topic. */
export interface DeadLetter {
  readonly value: Uint8Array | null;
  readonly headers: MessageHeaders;
}

/** What the demo needs of a broker: the one in this process, or a real one. */
export interface DemoBroker {
  readonly name: string;
  readonly quakes: Publisher<Message>;
  readonly deadLetters: Publisher<Message>;
  source(options: SourceOptions): Observable<Delivery<Uint8Array | null>>;
  readDeadLetters(): Promise<readonly DeadLetter[]>;
  /** Ends and removes what was made for the demo. */
  close(): Promise<void>;
}
