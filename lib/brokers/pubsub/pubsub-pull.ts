import {
  asyncScheduler,
  concat,
  defer,
  EMPTY,
  ignoreElements,
  Observable,
  startWith,
  Subject,
  Subscription,
  takeUntil,
  takeWhile,
  timer,
} from 'rxjs';
import { exponential, waitOf } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import type { QueueEngine } from '../../core/queue-engine.js';
import { callPubSub } from './pubsub-call.js';
import type { PubSubSubscriptionLike } from './pubsub-client.js';
import { grpcNameOf } from './pubsub-errors.js';
import { groupsOf } from './pubsub-groups.js';
import { createIdCalls } from './pubsub-id-calls.js';
import { createInventory } from './pubsub-inventory.js';
import { lastCallsMs } from './pubsub-last-calls.js';
import { later } from './pubsub-later.js';
import { leasesToExtend, type PulledHandle } from './pubsub-leases.js';
import type { ResolvedPubSubOptions } from './pubsub-options.js';
import { createOutages } from './pubsub-outages.js';
import { arrivalsOf, type PullResponseLike } from './pubsub-pulled.js';
import type { PubSubReader } from './pubsub-reader.js';
import type { PubSubRecord } from './pubsub-record.js';
import { createSilence } from './pubsub-silence.js';
import { createSlowCalls } from './pubsub-slow-calls.js';
import { mayAckLater, pubsubFailure } from './pubsub-source-errors.js';

type PulledRecord = PubSubRecord<PulledHandle>;

interface PullCall {
  /** By the monotonic clock. */
  readonly begunAt: number;
  cut(): void;
}

/** How long a pull waits for a first message. */
const PULL_MS = 30_000;
/** The emulator gives messages to pulls that were cut off, too: there they are short, and a stop waits for their answers. */
const EMULATOR_PULL_MS = 1_500;
/** A pull that has gone on for longer waits for a first message: whatever it would bring is not under way yet. */
const ANSWER_MS = 5_000;

/** The most that one pull may bring. */
const MOST_MESSAGES = 1_000;

/** In the time of the shortest deadline, 10 s, leases are looked at four times. */
const LOOK_MS = 2_500;

/**
 * Messages as they are asked for: never more than may be emitted at once. Their leases are ours to extend, and their acks are
 * answered.
 * @internal
 */
export function pullMessages(
  engine: QueueEngine<PulledRecord>,
  { pubsub, name }: PubSubSubscriptionLike,
  short: string,
  options: ResolvedPubSubOptions,
  isOrdered: boolean,
  /** What a lease has from the pull on, in milliseconds. */
  firstDeadlineMs: number,
): PubSubReader<PulledRecord> {
  const { maxInFlight, ackDeadlineMs, maxExtensionMs, requestTimeoutMs, refusalTimeoutMs } = options;
  const longestLeaseMs = Math.max(firstDeadlineMs, ackDeadlineMs);
  const slowCalls = createSlowCalls();
  const inventory = createInventory<PulledHandle>({ isOrdered, longestLeaseMs, slowCalls });
  const backoff = exponential({ initialMs: 100, maxMs: 30_000 });
  const outages = createOutages(engine, { pubsub, short, refusalTimeoutMs });
  const silence = createSilence(engine, pubsub, name, options);
  const pullMs = pubsub.isEmulator === true ? EMULATOR_PULL_MS : PULL_MS;
  const pulled = new Subject<void>();
  const timers = new Subscription();
  const underWay = new Set<PullCall>();
  let mostPulls = options.maxStreams;
  /** How many messages the pulls under way may bring. */
  let asked = 0;
  let paused = false;
  let failures = 0;
  let waits = false;
  let isLeaving = false;

  const call = (method: string, reqOpts: object, timeoutMs = requestTimeoutMs) =>
    callPubSub(pubsub, method, { subscription: name, ...reqOpts }, timeoutMs);
  const mayPass = (error: unknown): boolean => mayAckLater(pubsub, error);
  const acks = createIdCalls({
    call: (ackIds) => call('acknowledge', { ackIds }),
    isMendable: mayPass,
    mostCalls: 2,
  });
  const nacks = createIdCalls({
    call: (ackIds) => call('modifyAckDeadline', { ackIds, ackDeadlineSeconds: 0 }),
    isMendable: mayPass,
    // What follows a message of its key is not to be back before it.
    mostCalls: 1,
  });

  const ackGroup = (records: readonly PulledRecord[], answer: (answers: readonly unknown[]) => void): void => {
    const sent = records.map(newestOf);
    const ids = sent.map(({ ackId }) => ackId);
    acks.send(ids, (failure) => {
      const error = failure === null ? null : pubsubFailure(short, failure);
      // What came again while its ack was under way is done too.
      const late = error === null ? records.filter((record, index) => newestOf(record) !== sent[index]) : [];
      if (late.length === 0) answer(records.map(() => error));
      else ackGroup(late, (answers) => answer(records.map((record) => answers[late.indexOf(record)] ?? null)));
    });
  };

  // Messages that end one by one are acked one by one: a chain of operators for each took most of the time.
  const ackAll = (records: readonly PulledRecord[]): Observable<readonly unknown[]> =>
    new Observable((subscriber) => {
      const groups = groupsOf(records);
      const answers: (readonly unknown[])[] = [];
      let missing = groups.length;
      const answered = (): void => {
        for (const record of records) inventory.acked(record);
        pullMore();
        subscriber.next(answers.flat());
        subscriber.complete();
      };
      groups.forEach((group, index) =>
        ackGroup(group, (answer) => {
          answers[index] = answer;
          if (--missing === 0) answered();
        }),
      );
    });

  const sendNacks = (ackIds: readonly string[]): void => {
    for (const group of groupsOf(ackIds)) nacks.send(group, slowCalls.begin());
  };

  const pullMore = (): void => {
    while (!isLeaving && !paused && !waits && underWay.size < (failures === 0 ? mostPulls : 1)) {
      const free = maxInFlight - inventory.size - asked;
      // One that waits for a first message takes all that is free; another only helps where much is.
      if (free < (underWay.size === 0 ? 1 : Math.ceil(maxInFlight / 2))) return;
      pull(Math.min(free, MOST_MESSAGES));
    }
  };

  const pull = (maxMessages: number): void => {
    asked += maxMessages;
    const calling = new Subscription();
    const ended = (): void => {
      underWay.delete(pullCall);
      asked -= maxMessages;
    };
    const pullCall: PullCall = {
      begunAt: environment.now(),
      cut: () => {
        if (!underWay.has(pullCall)) return;
        ended();
        calling.unsubscribe();
        pulled.next();
      },
    };
    underWay.add(pullCall);
    calling.add(
      call('pull', { maxMessages }, pullMs).subscribe({
        next: (response) => {
          ended();
          answered(response as PullResponseLike);
          pulled.next();
        },
        error: (error: unknown) => {
          ended();
          if (grpcNameOf(error) === 'DEADLINE_EXCEEDED') ranOut();
          else failed(error);
          pulled.next();
        },
      }),
    );
  };

  // A pull that is cut off may have been given messages, which nobody has until their leases are over. So one that may be about
  // to be answered is let end, and what it brings is given back.
  const leave = (): void => {
    if (isLeaving) return;
    isLeaving = true;
    outages.end();
    silence.end();
    for (const { begunAt, cut } of underWay) {
      const leftMs = failures === 0 && pubsub.isOpen ? begunAt + ANSWER_MS - environment.now() : 0;
      later(timers, Math.max(0, leftMs), cut);
    }
  };

  const lastPulled = (): Observable<never> =>
    pulled.pipe(
      startWith(null),
      takeWhile(() => underWay.size > 0),
      ignoreElements(),
    );

  const answered = (response: PullResponseLike): void => {
    failures = 0;
    outages.answered();
    silence.heard();
    const receivedAt = environment.now();
    const records: PulledRecord[] = [];
    const tooEarly: string[] = [];
    for (const arrival of arrivalsOf(response, receivedAt, firstDeadlineMs)) {
      const record = inventory.receive(arrival);
      if (record === 'too-early') tooEarly.push(arrival.handle.ackId);
      else if (record !== 'held') records.push(record);
    }
    sendNacks(tooEarly);
    engine.push(records);
    pullMore();
  };

  // There was no message, or no network: the silence tells. Either way it was not refused, so the next failure is a first one:
  // where messages are rare, failures that are hours apart would make each wait longer than the one before.
  const ranOut = (): void => {
    failures = 0;
    pullMore();
  };

  const failed = (error: unknown): void => {
    // Calls that were under way together end together: one failure.
    if (isLeaving || waits || !outages.lost(error)) return;
    failures++;
    waits = true;
    later(timers, waitOf(backoff, failures), () => {
      waits = false;
      pullMore();
    });
  };

  const extend = (): void => {
    if (!pubsub.isOpen) return;
    const due = leasesToExtend(inventory.records(), maxExtensionMs);
    const halfAt = environment.now() + ackDeadlineMs / 2;
    for (const group of groupsOf(due)) {
      const ackIds = group.map(({ ackId }) => ackId);
      const extension = call('modifyAckDeadline', { ackIds, ackDeadlineSeconds: Math.floor(ackDeadlineMs / 1_000) });
      timers.add(
        extension.subscribe({
          complete: () => {
            for (const handle of group) handle.halfAt = halfAt;
          },
          // Tried again at the next look; a lease that runs out meanwhile is one whose message comes again.
          error: () => undefined,
        }),
      );
    }
  };

  return {
    start: () => {
      silence.start();
      timers.add(
        asyncScheduler.schedule(function look() {
          extend();
          this.schedule(undefined, LOOK_MS);
        }, LOOK_MS),
      );
      pullMore();
    },
    demand: (wanted) => {
      paused = !wanted;
      pullMore();
    },
    ack: ackAll,
    nack: (records, tried) => {
      for (const record of records) inventory.nacked(record, tried);
      sendNacks(records.map((record) => newestOf(record).ackId));
      pullMore();
    },
    lessen: () => void mostPulls--,
    more: () => {
      mostPulls++;
      pullMore();
    },
    leaving: leave,
    close: () =>
      concat(
        defer(() => {
          leave();
          return concat(lastPulled(), defer(nacks.idle)).pipe(takeUntil(timer(lastCallsMs(options))));
        }),
        defer(() => {
          for (const { cut } of [...underWay]) cut();
          timers.unsubscribe();
          acks.end();
          nacks.end();
          return EMPTY;
        }),
      ),
  };
}

function newestOf({ handles }: PulledRecord): PulledHandle {
  return handles.at(-1) as PulledHandle;
}
