import { asyncScheduler, type Subscription } from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import { isSluiceError } from '../../core/errors.js';
import { isPlaced, type Checkpoint } from './kinesis-checkpoint.js';
import type { KinesisFanOutEventLike, KinesisStartingPositionLike } from './kinesis-client.js';
import type { FanOutClient, FanOutConsumer } from './kinesis-consumer.js';
import { GONE, IN_USE, INVALID, isNamed, isThrottled, isUnknownOperation, NOTHING_SENT } from './kinesis-errors.js';
import { createEventStream, type EventStream } from './kinesis-event-stream.js';
import type { Shard, ShardEvents } from './kinesis-shard.js';
import { isHardlyPast, startOf, untilStartMs, withoutLatest } from './kinesis-start.js';

/** @internal */
export interface SubscriptionOptions {
  readonly client: FanOutClient;
  readonly consumer: FanOutConsumer;
  readonly shard: string;
  readonly from: Checkpoint;
  /** What came already, since `from`: it goes on behind that. */
  readonly received: string | null;
  readonly requestTimeoutMs: number;
}

/** @internal */
export interface SubscriptionEvents extends ShardEvents {
  /** Whoever answers has no fan-out. It does nothing any more; `from` and `received` say where it stands. */
  unsupported(error: unknown, from: Checkpoint, received: string | null): void;
  /** The consumer cannot be had. It does nothing any more. */
  refused(error: unknown): void;
  /** Another one takes the shard again and again, though it is ours. */
  crowded(): void;
}

// The service ends a subscription after five minutes. With jitter, for shards are subscribed to at the same time.
const RENEW_MS = 270_000;
const RENEW_JITTER_MS = 20_000;
// One call a second, of a consumer and a shard.
const CALL_INTERVAL_MS = 1_000;
// Within this time of a call that succeeded the next one is refused; after it, it takes the shard over.
const TAKEOVER_MS = 5_000;
const TAKEOVER_JITTER_MS = 1_000;
// AWS' own client gives up a subscription that nobody has read from for this long (its read time-out).
const STALL_MS = 30_000;
// The KCL begins anew where nothing has come for this long: a shard without records has events too.
const SILENCE_MS = 60_000;
// In a row: a lease that moves makes one or two.
const CROWDED = 4;
const BARREN = 3;

/**
 * Has a shard sent: one subscription after the other, each behind what came of the last. Pulls an event only when it may be
 * given away, so that there is one here at most.
 * @internal
 */
export function subscribeShard(options: SubscriptionOptions, events: SubscriptionEvents): Shard {
  const { client, consumer, shard, requestTimeoutMs } = options;
  const backoff = exponential({ initialMs: 250, maxMs: 10_000 });
  let { from, received } = options;
  let stream: EventStream | null = null;
  // It came when it could not be given away: nobody has received it.
  let held: KinesisFanOutEventLike | null = null;
  let call: Subscription | null = null;
  let wait: Subscription | null = null;
  let renewal: Subscription | null = null;
  // Of an event that does not come, or a stall that does not end.
  let patience: Subscription | null = null;
  let asleep = false;
  let over = false;
  let turns = 0;
  let calledAt = -Infinity;
  let openedAt = -Infinity;
  let isOpen = false;
  // This subscription has brought an event.
  let isFruitful = false;
  let failures = 0;
  let throttled = 0;
  let taken = 0;
  let barren = 0;

  const close = (): void => {
    call?.unsubscribe();
    renewal?.unsubscribe();
    patience?.unsubscribe();
    if (stream !== null) events.unread();
    stream?.close();
    stream = null;
    isOpen = false;
    held = null;
  };

  const step = (): void => {
    if (over) return;
    if (!events.mayRead()) {
      asleep = true;
      return;
    }
    const aheadMs = untilStartMs(from, received);
    if (aheadMs > 0) next(aheadMs);
    else call = consumer.arn().subscribe({ next: subscribe, error: consumerFailed });
  };

  const next = (ms: number): void => {
    const now = environment.now();
    const earliest = Math.max(calledAt + CALL_INTERVAL_MS, openedAt + TAKEOVER_MS);
    wait?.unsubscribe();
    asleep = false;
    if (!over) wait = asyncScheduler.schedule(step, Math.max(ms, earliest - now));
  };

  const subscribe = (arn: string): void => {
    calledAt = environment.now();
    isFruitful = false;
    stream = createEventStream(
      requestTimeoutMs,
      (how) =>
        client.subscribeToShard(
          { ConsumerARN: arn, ShardId: shard, StartingPosition: startingPosition(from, received) },
          how,
        ),
      {
        opened: () => {
          isOpen = true;
          openedAt = environment.now();
          from = withoutLatest(from);
          renewal = asyncScheduler.schedule(renew, RENEW_MS + environment.random() * RENEW_JITTER_MS);
          pull();
        },
        event: (event) => {
          patience?.unsubscribe();
          if (events.mayRead()) take(event);
          else {
            held = event;
            sleep();
          }
        },
        ended,
        failed: (error) => failed(error, arn),
      },
    );
    stream.open();
  };

  const pull = (): void => {
    if (!events.mayRead() || !events.admitEvent()) {
      sleep();
      return;
    }
    patience = asyncScheduler.schedule(resubscribe, SILENCE_MS);
    stream?.pull();
  };

  /** Nobody takes what comes: the server is left to wait, for a while. */
  const sleep = (): void => {
    asleep = true;
    patience = asyncScheduler.schedule(close, STALL_MS);
  };

  const wakeUp = (): void => {
    if (over) return;
    if (stream !== null && !events.mayRead()) {
      sleep();
      return;
    }
    const event = held;
    held = null;
    if (stream === null) next(0);
    else if (event === null) pull();
    else take(event);
  };

  const take = (event: KinesisFanOutEventLike): void => {
    const { Records: records = [], MillisBehindLatest: lagMs = 0, ChildShards: children = [] } = event;
    const isLast = children.length > 0;
    failures = 0;
    throttled = 0;
    barren = 0;
    isFruitful = true;
    events.answered();
    // All of the event is here, so what it says of how far it goes holds: it passes by what is no record, too. But the
    // record of the checkpoint is to come first.
    if (records.length > 0 || received !== null || !isPlaced(from)) {
      received = event.ContinuationSequenceNumber ?? records.at(-1)?.SequenceNumber ?? received;
    }
    const turn = turns;
    events.page({ records, lagMs, isLast });
    if (over || turn !== turns) return;
    if (!isLast) {
      pull();
      return;
    }
    over = true;
    close();
    events.ended();
  };

  const renew = (): void => {
    taken = 0;
    resubscribe();
  };

  const resubscribe = (): void => {
    close();
    if (!asleep) next(0);
  };

  // Without children it is no end of the shard, whatever it looks like.
  const ended = (): void => {
    if (!isFruitful && ++barren >= BARREN) {
      events.failed(Object.assign(new Error('no event'), { name: NOTHING_SENT }));
    }
    rest(isFruitful ? 0 : backoff(barren));
  };

  const rest = (ms: number): void => {
    close();
    if (!asleep) next(ms);
  };

  const consumerFailed = (error: unknown): void => {
    // A permission may be on its way: that is a failure like that of a read.
    if (isSluiceError(error) && error.code !== 'not-authorized') {
      over = true;
      events.refused(error);
    } else failed(error, null);
  };

  /** Of the consumer, of a subscription that did not open, or of one that did. */
  const failed = (error: unknown, arn: string | null): void => {
    const wasOpen = isOpen;
    close();
    if (isNamed(error, IN_USE)) {
      if (++taken === CROWDED) events.crowded();
      rest(TAKEOVER_MS + environment.random() * TAKEOVER_JITTER_MS);
    } else if (isThrottled(error)) rest(backoff(++throttled));
    else if (isUnknownOperation(error)) {
      over = true;
      events.unsupported(error, from, received);
    } else if (isNamed(error, GONE) && arn !== null) missing(arn);
    else if (isNamed(error, INVALID) && !wasOpen && (isPlaced(from) || received !== null)) {
      events.unknownPosition(error);
    } else if (isNamed(error, INVALID) && isHardlyPast(from, received)) rest(CALL_INTERVAL_MS);
    else if (wasOpen && isFruitful) rest(0);
    else {
      events.failed(error);
      rest(backoff(++failures));
    }
  };

  // The shard, or the consumer: the service does not say which.
  const missing = (arn: string): void => {
    call = consumer.isReplaced(arn).subscribe({
      next: (isReplaced) => {
        if (isReplaced) rest(0);
        else events.gone();
      },
      error: consumerFailed,
    });
  };

  wait = asyncScheduler.schedule(step);

  return {
    wake: () => {
      // Whoever asks for nothing does not end the stall.
      if (!asleep || over || !events.mayRead()) return;
      asleep = false;
      patience?.unsubscribe();
      wait = asyncScheduler.schedule(wakeUp);
    },
    restart: (place) => {
      turns++;
      from = place;
      received = null;
      close();
      next(0);
    },
    stop: () => {
      over = true;
      wait?.unsubscribe();
      close();
    },
  };
}

function startingPosition(from: Checkpoint, received: string | null): KinesisStartingPositionLike {
  const { type, sequenceNumber, timestamp } = startOf(from, received);
  return {
    Type: type,
    ...(sequenceNumber === undefined ? {} : { SequenceNumber: sequenceNumber }),
    ...(timestamp === undefined ? {} : { Timestamp: timestamp }),
  };
}
