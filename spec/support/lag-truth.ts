import type { TelemetryEvent } from '../../lib/index.js';

type LagEvent = Extract<TelemetryEvent, { type: 'lag' }>;

/** A lag as it was told, beside what was true. */
export interface ToldLag {
  readonly partition: number | string;
  /** What was told; `undefined` where it was told that nothing is known. */
  readonly lag: number | undefined;
  /** How old that was, as was told. */
  readonly ageMs: number | undefined;
  /** The true one, at that moment. */
  readonly truth: number;
  /** The end that was told, and between which ends it had to be. */
  readonly end: number | undefined;
  readonly within: readonly [least: number, most: number];
  readonly buffered: number;
  readonly inFlight: number;
}

interface End {
  sent: number;
  confirmed: number;
  /** When the broker had told the end that was told last. */
  heardAt: number;
  /** What was confirmed before the broker was asked for it, and before it was asked for the next one. */
  least: number;
  before: number;
}

// Ages are told in whole milliseconds.
const SAME_MS = 2;

/**
 * Holds each lag in messages that a source tells against the truth. The watermark is known exactly, by what is settled. Of the end it is
 * known what the broker had confirmed when its answer before was first told, for it is asked one thing at a time, and what it had been
 * sent by now.
 */
export function lagTruth() {
  const ends = new Map<number | string, End>();
  const watermarks = new Map<number | string, number>();
  const above = new Map<number | string, Set<number>>();
  const told: ToldLag[] = [];

  const endOf = (partition: number | string): End => {
    const end = ends.get(partition) ?? { sent: 0, confirmed: 0, heardAt: -Infinity, least: 0, before: 0 };
    ends.set(partition, end);
    return end;
  };

  const settle = (partition: number | string, offset: number): void => {
    const done = above.get(partition) ?? new Set<number>();
    above.set(partition, done.add(offset));
    let watermark = watermarks.get(partition) ?? 0;
    while (done.delete(watermark)) watermark++;
    watermarks.set(partition, watermark);
  };

  const tell = ({ partition: { partition }, lagMessages: lag, ageMs, bufferedMessages, inFlight }: LagEvent): void => {
    const end = endOf(partition);
    const watermark = watermarks.get(partition) ?? 0;
    const heardAt = performance.now() - (ageMs ?? 0);
    if (heardAt - end.heardAt > SAME_MS) Object.assign(end, { heardAt, least: end.before, before: end.confirmed });
    told.push({
      partition,
      lag,
      ageMs,
      truth: end.confirmed - watermark,
      end: lag === undefined ? undefined : lag + watermark,
      within: [end.least, end.sent],
      buffered: bufferedMessages,
      inFlight,
    });
  };

  return {
    told,
    /** So many messages are being sent to a partition; the answer says that they are there. */
    sending: (partition: number | string, messages: number): (() => void) => {
      const end = endOf(partition);
      end.sent += messages;
      return () => void (end.confirmed += messages);
    },
    watermark: (partition: number | string): number => watermarks.get(partition) ?? 0,
    telemetry: (event: TelemetryEvent): void => {
      if (event.type === 'settled') settle(event.message.partition, Number(event.message.id.split('/').at(-1)));
      if (event.type === 'lag') tell(event);
    },
    /** What was told of an end that was never there. */
    lies: (): ToldLag[] =>
      told.filter(({ end, within: [least, most] }) => end !== undefined && (end < least || end > most)),
    /** The largest difference between what was told and what was true at that moment, and how old it was told to be. */
    largestError: (): { readonly messages: number; readonly ageMs: number } =>
      told.reduce(
        (largest, { lag = NaN, truth, ageMs = 0 }) => {
          const messages = Math.abs(lag - truth);
          return messages > largest.messages ? { messages, ageMs } : largest;
        },
        { messages: 0, ageMs: 0 },
      ),
    oldest: (): number => Math.max(0, ...told.map(({ ageMs = 0 }) => ageMs)),
  };
}
