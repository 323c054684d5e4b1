/** The brokers that the corpus is sent through. */
export type CorpusBroker = 'memory' | 'kafka' | 'kinesis' | 'pubsub';

/**
 * One of these becomes of a message:
 *
 * - `done`: it is handled.
 * - `letter CLASS`: it is a dead letter, whose error is of that class.
 * - `refused CODE`: the publisher refuses it with an error of that code, and its call goes on with the others.
 * - `refused by the broker`: it was sent without our publisher, and the broker takes none such.
 *
 * Several, of an entry that is more than one message, are told with their numbers: `done × 3, letter SluiceError × 1`.
 */
export type Fate = string;

/** A message, or a flood of them, that would do harm if it could. */
export interface CorpusEntry {
  /** Says what is odd about it; each is there once. */
  readonly name: string;
  /** The fate that it must have. */
  readonly fate: Fate;
  /** The same where a broker differs. */
  readonly on?: Readonly<Partial<Record<CorpusBroker, Fate>>>;
  /** Makes what is handed to the publisher, or sent as it is: anew each time, and only when its turn has come. */
  readonly make: () => unknown;
  /** How many messages `make` gives, as an array. Default: one, by itself. */
  readonly count?: number;
  /** The broker that it goes to without our publisher, in a form of its own; no other has it. */
  readonly raw?: CorpusBroker;
}

/** Stands in every payload that can hold it: no text of ours may show it. */
export const CANARY = 'canary4111';

/** A value that the pipeline takes. */
export function goodValue(id: string, more: object = {}): string {
  return JSON.stringify({ id, cents: 1, ...more });
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The fate on one broker. */
export function fateOn(broker: CorpusBroker, { fate, on }: CorpusEntry): Fate {
  return on?.[broker] ?? fate;
}
