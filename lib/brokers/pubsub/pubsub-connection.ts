import { asyncScheduler, Observable, type Subscription } from 'rxjs';
import { waitOf, type Backoff } from '../../core/backoff.js';
import { createDueTimer } from '../../core/due-timer.js';
import { environment } from '../../core/environment.js';
import type { Message } from '../../core/message.js';
import { enqueueCall, openCall, takeOutcome } from '../../core/publish-call.js';
import type { PublishOutcome } from '../../core/publisher.js';
import type { PublishRoom } from './pubsub-concurrent-streams.js';
import { failureOfCall, pubsubError, tellOf } from './pubsub-errors.js';
import {
  createLanes,
  inTheirOrder,
  isLive,
  type Entry,
  type LanesOptions,
  type NumberedCall,
  type Parcel,
} from './pubsub-lanes.js';
import { encodeMessage, refused, type EncodeOptions } from './pubsub-outgoing.js';
import type { PubSubPublishedPosition } from './pubsub-published-position.js';
import type { PubSubServiceLike } from './pubsub-publisher-client.js';
import { patienceMs, sendMessages, type MessageAnswer, type Sent } from './pubsub-sender.js';

/** @internal */
export interface ConnectionOptions extends LanesOptions, EncodeOptions {
  /** As the user names it. */
  readonly topic: string;
  readonly maxRequests: number;
  readonly backoff: Backoff;
  readonly retryTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

type Settlement = readonly [Entry, PublishOutcome];

/** What comes of a request that is not tried again: calls that fail, or messages that are given up. */
interface Lost {
  readonly calls: readonly NumberedCall[];
  readonly error: unknown;
  readonly settlements: readonly Settlement[];
}

/** `topicName` is the full name of the topic; `room` is of all that publish over the client. @internal */
export function createConnection(
  service: PubSubServiceLike,
  topicName: string,
  options: ConnectionOptions,
  room: PublishRoom,
) {
  const { topic, maxRequests, backoff, retryTimeoutMs, requestTimeoutMs } = options;
  // Holds what callers wait for, so their bounds are its bound.
  const lanes = createLanes(options);
  // What failed and waits.
  const resting = new Map<Parcel, Subscription>();
  let calls = 0;
  let requests = 0;
  let waitsForRoom = false;
  let closed = false;

  // What is published in one turn goes together, and no timer adds to the latency.
  const timer = createDueTimer(() => sendAll());
  const schedule = (): void => timer.dueIn(waitFor());

  const waitFor = (): number | null => {
    if (requests === maxRequests || waitsForRoom) return null;
    const waitMs = lanes.waitMs(environment.now());
    return closed && waitMs !== null ? 0 : waitMs;
  };

  const sendAll = (): void => {
    while (requests < maxRequests && takeRoom()) {
      const parcel = lanes.next(environment.now(), closed);
      if (parcel === null) {
        room.free();
        break;
      }
      send(parcel);
    }
    schedule();
  };

  // Acks and leases of sources go over the same connection: what publishers take of it together is bounded.
  const takeRoom = (): boolean => {
    if (waitFor() !== 0) return false;
    waitsForRoom = !room.take(wake);
    return !waitsForRoom;
  };

  const wake = (): void => {
    waitsForRoom = false;
    // Nothing is to be sent any more: the turn is another's.
    if (waitFor() !== 0) room.pass();
    schedule();
  };

  const send = (parcel: Parcel): void => {
    requests++;
    sendMessages(
      service,
      { topic: topicName, requestTimeoutMs },
      parcel.entries.map(({ outgoing }) => outgoing.message),
    ).subscribe({
      next: (sent) => answered(parcel, sent),
      // It never errs by itself.
      error: (error: unknown) => answered(parcel, { answers: [], failure: { error } }),
    });
  };

  const answered = (parcel: Parcel, { answers, failure }: Sent): void => {
    requests--;
    room.free();
    const settlements: Settlement[] = answers.map((answer, index) => [
      parcel.entries[index] as Entry,
      outcomeOf(answer),
    ]);
    parcel.entries = parcel.entries.slice(answers.length);
    let lost: Lost | null = null;
    if (failure === null) lanes.free(parcel);
    else lost = failed(parcel, failure.error);
    // Last, since whoever is answered may publish again before this returns: who lost something must hear of it first.
    for (const call of lost?.calls ?? []) call.fail(lost?.error);
    const givenUp = lost?.settlements ?? [];
    const losers = new Set(givenUp.map(([{ call }]) => call));
    const ended = settle([...givenUp, ...settlements]);
    ended.sort((left, right) => Number(losers.has(right)) - Number(losers.has(left)) || inTheirOrder(left, right));
    for (const call of ended) call.done(call.outcomes);
    schedule();
  };

  const outcomeOf = (answer: MessageAnswer): PublishOutcome => {
    if (answer.status !== 'ok') return answer;
    const position: PubSubPublishedPosition = { broker: 'pubsub', topic, messageId: answer.messageId };
    return { status: 'ok', position };
  };

  /** Tries it again, or says what is lost. */
  const failed = (parcel: Parcel, error: unknown): Lost | null => {
    parcel.entries = parcel.entries.filter(isLive);
    if (parcel.entries.length === 0) {
      lanes.free(parcel);
      return null;
    }
    const now = environment.now();
    if (parcel.failures++ === 0) parcel.failedAt = now;
    const leftMs = parcel.failedAt + patienceMs(error, retryTimeoutMs) - now;
    if (leftMs <= 0) return failureOfCall(error) === 'transient' ? giveUp(parcel, error) : lose(parcel, error);
    rest(parcel, Math.min(leftMs, waitOf(backoff, parcel.failures)));
    return null;
  };

  const rest = (parcel: Parcel, waitMs: number): void => {
    const due = asyncScheduler.schedule(() => {
      resting.delete(parcel);
      lanes.retry(parcel);
      schedule();
    }, waitMs);
    resting.set(parcel, due);
  };

  const giveUp = (parcel: Parcel, cause: unknown): Lost => {
    const error = refused(`${topic} did not take it within ${retryTimeoutMs} ms: ${tellOf(cause)}`, { cause });
    const behind = refused('not sent, since an earlier message of its key was given up', { cause: error });
    const settlements: Settlement[] = [
      ...parcel.entries.map((entry): Settlement => [entry, { status: 'transient', error }]),
      ...lanes.drop(parcel).map((entry): Settlement => [entry, { status: 'transient', error: behind }]),
    ];
    return { calls: [], error, settlements };
  };

  const lose = (parcel: Parcel, cause: unknown): Lost => {
    // What waits behind a message that is lost must not be stored before it comes again.
    const calls = lanes.withThoseBehind(parcel.entries.map(({ call }) => call));
    for (const call of calls) call.over = true;
    lanes.free(parcel);
    sweep();
    const error = pubsubError('pubsubPublisher', cause, { topic, otherwise: 'publish-failed' });
    return { calls, error, settlements: [] };
  };

  // What nobody waits for any more is not tried again.
  const sweep = (): void => {
    for (const [parcel, due] of resting) {
      if (parcel.entries.some(isLive)) continue;
      due.unsubscribe();
      resting.delete(parcel);
      lanes.free(parcel);
    }
  };

  // Gives the calls that have all of their outcomes by now, and does not tell them.
  const settle = (settlements: readonly Settlement[]): NumberedCall[] => {
    const ended: NumberedCall[] = [];
    for (const [{ call, index }, outcome] of settlements) {
      if (takeOutcome(call, index, outcome)) ended.push(call);
    }
    return ended;
  };

  return {
    publish: (messages: readonly Message[]): Observable<readonly PublishOutcome[]> =>
      new Observable((subscriber) => {
        const call: NumberedCall = { ...openCall(subscriber, messages.length), serial: calls++ };
        if (closed) {
          call.fail(refused('the connection is closed'));
          return;
        }
        const now = environment.now();
        enqueueCall('pubsubPublisher', call, messages, (message, index) =>
          lanes.add(encodeMessage(message, options), call, index, now),
        );
        schedule();
        return () => {
          if (call.over) return;
          call.over = true;
          sweep();
          schedule();
        };
      }),

    /** Sends at once what waits for others; what failed is tried on. */
    close: (): void => {
      closed = true;
      schedule();
    },
  };
}
