import { asyncScheduler, Observable, type Subscription } from 'rxjs';
import { waitOf, type Backoff } from '../../core/backoff.js';
import { createDueTimer } from '../../core/due-timer.js';
import { environment } from '../../core/environment.js';
import type { Message } from '../../core/message.js';
import { enqueueCall, openCall, takeOutcome } from '../../core/publish-call.js';
import type { PublishOutcome } from '../../core/publisher.js';
import type { KinesisClientLike } from './kinesis-client.js';
import {
  createLanes,
  inTheirOrder,
  isOver,
  type Entry,
  type LanesOptions,
  type NumberedCall,
  type Parcel,
} from './kinesis-lanes.js';
import { refused, type KinesisOutgoing } from './kinesis-outgoing.js';
import type { KinesisPosition } from './kinesis-record.js';
import { sendRecords, type RecordAnswer } from './kinesis-sender.js';
import { streamName } from './kinesis-stream.js';

/** @internal */
export interface ConnectionOptions extends LanesOptions {
  /** A name or an ARN. */
  readonly stream: string;
  readonly encode: (message: Message) => KinesisOutgoing;
  readonly maxRequests: number;
  readonly backoff: Backoff;
  readonly retryTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

/** What is sent again at one time. */
interface Resting {
  readonly parcels: Set<Parcel>;
  readonly due: Subscription;
}

type Settlement = readonly [Entry, PublishOutcome];

// What is to be sent again at nearly the same time goes in one request.
const TICK_MS = 10;

/** @internal */
export function createConnection(client: KinesisClientLike, options: ConnectionOptions) {
  const { stream, encode, maxRequests, backoff, retryTimeoutMs } = options;
  const name = streamName(stream);
  // Holds what callers wait for, so their bounds are its bound.
  const lanes = createLanes(options);
  // What failed, by when it is sent again.
  const resting = new Map<number, Resting>();
  let calls = 0;
  let requests = 0;
  let closed = false;

  // What is published in one turn goes together, and no timer adds to the latency.
  const timer = createDueTimer(() => sendAll());
  const schedule = (): void => timer.dueIn(waitFor());

  const waitFor = (): number | null => {
    if (requests === maxRequests) return null;
    const waitMs = lanes.waitMs(environment.now());
    return closed && waitMs !== null ? 0 : waitMs;
  };

  const sendAll = (): void => {
    while (waitFor() === 0) {
      const parcels = lanes.next();
      if (parcels.length > 0) send(parcels);
    }
    schedule();
  };

  const send = (parcels: readonly Parcel[]): void => {
    requests++;
    sendRecords(
      client,
      options,
      parcels.map(({ record }) => record),
    ).subscribe({
      next: (answers) => answered(parcels, answers),
      error: (error: unknown) => failed(parcels, error),
    });
  };

  const answered = (parcels: readonly Parcel[], answers: readonly RecordAnswer[]): void => {
    requests--;
    const settlements: Settlement[] = [];
    parcels.forEach((parcel, index) => {
      const answer = answers[index] as RecordAnswer;
      if (answer.status === 'again') restOrGiveUp(parcel, answer.word, settlements);
      else {
        parcel.entries.forEach((entry, nth) => settlements.push([entry, outcomeOf(parcel, answer, nth)]));
        lanes.free(parcel);
      }
    });
    // Last, and as they came, since whoever is answered may publish again before this returns.
    settlements.sort(([left], [right]) => inTheirOrder(left.call, right.call));
    for (const [{ call, index }, outcome] of settlements) {
      if (takeOutcome(call, index, outcome)) call.done(call.outcomes);
    }
    schedule();
  };

  const outcomeOf = (
    { isAggregate }: Parcel,
    answer: Exclude<RecordAnswer, { readonly status: 'again' }>,
    nth: number,
  ): PublishOutcome => {
    if (answer.status !== 'ok') return answer;
    const { shard, sequenceNumber } = answer;
    const subSequenceNumber = isAggregate ? nth : null;
    const position: KinesisPosition = { broker: 'kinesis', stream: name, shard, sequenceNumber, subSequenceNumber };
    return { status: 'ok', position };
  };

  const restOrGiveUp = (parcel: Parcel, word: string, settlements: Settlement[]): void => {
    if (isOver(parcel)) {
      lanes.free(parcel);
      return;
    }
    const now = environment.now();
    if (parcel.failures++ === 0) parcel.failedAt = now;
    const leftMs = parcel.failedAt + retryTimeoutMs - now;
    if (leftMs > 0) {
      rest(parcel, Math.min(leftMs, waitOf(backoff, parcel.failures)));
      return;
    }
    const error = refused(`${name} did not store it within ${retryTimeoutMs} ms: Kinesis says ${word}`);
    const behind = refused('not sent, since an earlier message of its key was given up', { cause: error });
    for (const entry of parcel.entries) settlements.push([entry, { status: 'transient', error }]);
    for (const entry of lanes.drop(parcel)) settlements.push([entry, { status: 'transient', error: behind }]);
  };

  const rest = (parcel: Parcel, waitMs: number): void => {
    const now = environment.now();
    const at = Math.ceil((now + waitMs) / TICK_MS) * TICK_MS;
    let group = resting.get(at);
    if (group === undefined) {
      group = { parcels: new Set(), due: asyncScheduler.schedule(() => wake(at), at - now) };
      resting.set(at, group);
    }
    group.parcels.add(parcel);
  };

  const wake = (at: number): void => {
    for (const parcel of resting.get(at)?.parcels ?? []) lanes.retry(parcel);
    resting.delete(at);
    schedule();
  };

  const failed = (parcels: readonly Parcel[], error: unknown): void => {
    requests--;
    const theirs = parcels.flatMap(({ entries }) => entries.map(({ call }) => call));
    // What waits behind a message that is lost must not be stored before it comes again.
    const lost = lanes.withThoseBehind(theirs.filter(({ over }) => !over));
    for (const call of lost) call.over = true;
    for (const parcel of parcels) lanes.free(parcel);
    sweep();
    for (const call of lost) call.fail(error);
    schedule();
  };

  // What nobody waits for any more is not tried again.
  const sweep = (): void => {
    for (const [at, { parcels, due }] of resting) {
      for (const parcel of parcels) {
        if (!isOver(parcel)) continue;
        parcels.delete(parcel);
        lanes.free(parcel);
      }
      if (parcels.size > 0) continue;
      due.unsubscribe();
      resting.delete(at);
    }
  };

  return {
    publish: (messages: readonly Message[]): Observable<readonly PublishOutcome[]> =>
      new Observable((subscriber) => {
        const call: NumberedCall = {
          ...openCall(subscriber, messages.length),
          serial: calls++,
          at: environment.now(),
        };
        if (closed) {
          call.fail(refused('the connection is closed'));
          return;
        }
        enqueueCall('kinesisPublisher', call, messages, (message, index) => lanes.add(encode(message), call, index));
        schedule();
        return () => {
          if (call.over) return;
          call.over = true;
          sweep();
          schedule();
        };
      }),

    /** Sends at once what waits for others; what is throttled is tried on. */
    close: (): void => {
      closed = true;
      schedule();
    },
  };
}
