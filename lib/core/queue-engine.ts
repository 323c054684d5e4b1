import { asyncScheduler, defer, throwError, type Observable, type ObservableInput, type Subscription } from 'rxjs';
import { join } from './assignment.js';
import { DEFAULT_NACK, exponential, waitOf, type Backoff } from './backoff.js';
import type { Delivery } from './delivery.js';
import type { DeliveryNode, SettlementHook } from './delivery-node.js';
import { SluiceError } from './errors.js';
import { classifyFailure } from './failures.js';
import { engineReports, type EngineLag, type EngineReports } from './engine-reports.js';
import { take, takesMore } from './intake.js';
import { fail } from './lifecycle.js';
import type { Outcome } from './outcome.js';
import {
  createPartition,
  giveBackCredit,
  refOf,
  takePending,
  tellSlotListeners,
  type Partition,
  type PartitionRef,
} from './partition.js';
import { tellIfPassedRetry } from './passed-retry.js';
import type { Position } from './position.js';
import { corked, defer as deferTask, pump } from './pump.js';
import type { RecordShape } from './record-shape.js';
import { reportRetry } from './report-retry.js';
import type { PumpTask, Session } from './session.js';
import { resolveSourceOptions, type SourceOptions } from './source-options.js';
import { createSource, sourceError, type EngineSetup } from './source.js';
import { messageInfo, notify, reportStale } from './telemetry.js';
import { hold, unhold } from './units.js';

/** What the engine offers to the adapter of a queue. @public */
export interface QueueEngine<R> extends EngineReports {
  /** Says what the messages come from, once and before any: for a definition that has no `queue`. */
  assign(queue: PartitionRef): void;
  /** Messages as the broker gives them. Those that come after `stop` or an unsubscribe are given back. */
  push(records: readonly R[]): void;
  /** An ack that was answered with success turns out to have failed: its message comes again. Only told to telemetry. */
  ackFailed(error: unknown): void;
  /** Nothing more will be pushed: settle, ack, close, complete. */
  end(): void;
  /** The source cannot go on (I7). */
  fail(error: unknown): void;
}

/** What the adapter of a queue does for the engine. @public */
export interface QueueAdapter<R> {
  /** Begins to receive. Called once. */
  start(): void;
  /** Receive on (`true`), or stop receiving (`false`). */
  demand(wanted: boolean): void;
  /**
   * Acks messages; one answer a message, in order, as one value: `null`, or why the ack failed. A message whose ack
   * failed comes again from the broker. The credits are free once this has answered.
   */
  ack(records: readonly R[]): ObservableInput<readonly unknown[]>;
  /**
   * Gives messages back to the broker, which delivers them again. `tried` where that was one of their attempts: a nack; not what
   * was let go, or never begun.
   */
  nack(records: readonly R[], tried: boolean): void;
  /**
   * Asks the broker anew for what `lag` answers, and completes once that is known. Called each `lagEveryMs`, also where the last call
   * has not ended: what was asked need not be asked twice. One that fails leaves what is known. Optional.
   */
  refreshLag?(): ObservableInput<unknown>;
  /**
   * What waits in the queue, what is out included, by what is known at this moment; `null` where nothing is. Optional: telemetry is told
   * no lag then, only what is buffered.
   */
  lag?(): EngineLag | null;
  /**
   * The intake has ended for good, by `stop` or an unsubscribe: `close` follows once all is settled. What is pushed from here on
   * is given back. Optional; the default is `demand(false)`.
   */
  leaving?(): void;
  /** Ends every timer, socket and listener. Called once, after the last ack was answered. */
  close(): ObservableInput<unknown>;
}

/** What makes a source of a queue. @public */
export interface QueueSourceDefinition<R extends object, P extends Position> {
  /** The source's name in errors, for instance `fromPubSub`. */
  readonly name: string;
  /** What the messages come from, as telemetry and ids name it. Default: the adapter says so, by `assign`. */
  readonly queue?: PartitionRef;
  /** The consumer group, where the broker has such: dead letters name it. */
  readonly group?: string;
  /** The user's options, checked by the engine; the adapter's own may be among them. */
  readonly options: SourceOptions;
  /** How to read a message. */
  readonly shape: RecordShape<R, P>;
  /** How long a bare nack is held, in credit, before it goes to the broker. Default: exponential, 100 ms to 30 s, full jitter. */
  readonly redelivery?: Backoff;
  /** Makes the adapter of one subscription. It starts nothing: that is `start`. */
  connect(engine: QueueEngine<R>): QueueAdapter<R>;
}

/**
 * A source over a queue (Google Pub/Sub): each message is settled by itself, a nack goes back to the broker, an ack may
 * fail later. There is no watermark, so `maxSpan` does not apply. See docs/writing-a-broker.md.
 * @public
 */
export function queueSource<R extends object, P extends Position>(
  definition: QueueSourceDefinition<R, P>,
): Observable<Delivery<Uint8Array | null, P>> {
  const options = resolveSourceOptions(definition.name, definition.options);
  return createSource(definition, options, () => setUp(definition));
}

function failNamed(name: string): never {
  throw new SluiceError('source-failed', `${name}: its adapter has not said what it reads; assign() comes first.`, {
    details: { owner: name },
  });
}

const UNANSWERED = 'the ack was not answered';

function attempt<T>(call: () => ObservableInput<T>): ObservableInput<T> {
  try {
    return call();
  } catch (error) {
    return throwError(() => error);
  }
}

function answersOf(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

interface Ack {
  readonly delivery: DeliveryNode;
  readonly outcome: Outcome;
}

function setUp<R extends object, P extends Position>(definition: QueueSourceDefinition<R, P>): EngineSetup {
  const { name } = definition;
  const redelivery = definition.redelivery ?? exponential(DEFAULT_NACK);
  // Records out, oldest first.
  const out = new Set<unknown>();
  let adapter: QueueAdapter<R> | null = null;
  let queue: Partition | null = null;
  let acks: Ack[] = [];
  let acking = 0;
  let settledUp: (() => void) | null = null;

  // A throw of the adapter must not come out of somebody's nack.
  const guarded = (call: () => void): void => {
    try {
      call();
    } catch (cause) {
      if (queue !== null) fail(queue.session, sourceError(name, cause));
    }
  };

  const giveBack = (records: readonly unknown[], tried = false): void => {
    if (records.length > 0) guarded(() => adapter?.nack(records as readonly R[], tried));
  };

  const free = (delivery: DeliveryNode): void => {
    out.delete(delivery.ref);
    if (delivery.epoch.closed) return;
    giveBackCredit(delivery.epoch);
  };

  const answer = (batch: readonly Ack[], answers: readonly unknown[] | undefined, failure: unknown): void => {
    acking--;
    const session = batch[0]?.delivery.epoch.session as Session;
    batch.forEach(({ delivery, outcome }, index) => {
      const error = answers === undefined ? failure : answers[index];
      free(delivery);
      if (error !== null) {
        notify(session, { type: 'ack-failed', partition: refOf(delivery.epoch), error });
      } else if (session.telemetry !== null) {
        notify(session, { type: 'settled', message: messageInfo(delivery), outcome });
      }
    });
    if (acking === 0 && acks.length === 0) settledUp?.();
    pump(session);
  };

  const sendAcks: PumpTask = {
    queued: false,
    run: () => {
      const batch = acks;
      if (batch.length === 0) return;
      acks = [];
      acking++;
      const refs = batch.map(({ delivery }) => delivery.ref as R);
      const answering = attempt(() => (adapter as QueueAdapter<R>).ack(refs));
      // Messages that end one by one are acked one by one: a subscription each would be much of what that takes.
      if (Array.isArray(answering)) {
        answer(batch, answersOf(answering.at(-1)), UNANSWERED);
        return;
      }
      let answers: readonly unknown[] | undefined;
      defer(() => answering).subscribe({
        next: (value) => (answers = answersOf(value)),
        error: (error: unknown) => answer(batch, undefined, error),
        complete: () => answer(batch, answers, UNANSWERED),
      });
    },
  };

  const orderOf = (record: unknown): string | null => definition.shape.orderedBy?.(record as R) ?? null;
  // The keys whose messages are just given back, so that what goes with the first of them does so once, in order.
  const returning = new Set<string>();

  const backToBroker = (delivery: DeliveryNode, tried: boolean): void => {
    const { ref, slot, epoch } = delivery;
    const key = orderOf(ref);
    const isFirst = key !== null && !returning.has(key);
    // Nothing of the key may be emitted in between.
    corked(epoch.session, () => {
      giveBack([ref], tried);
      free(delivery);
      if (key !== null) returning.add(key);
      // What an operator holds of the key came before what was not emitted yet.
      if (epoch.slotListeners !== null) tellSlotListeners(epoch, slot, 'gone');
      if (isFirst) {
        const followers = takePending(epoch, (record) => orderOf(record) === key);
        for (const record of followers) out.delete(record);
        giveBack(followers);
        returning.delete(key);
      }
    });
    pump(epoch.session);
  };

  // What follows a message that is still worked on waits for it: sent again now, another consumer would overtake us.
  const giveBackUnstarted = (records: readonly unknown[]): void => {
    for (const record of records) out.delete(record);
    const busy = new Set(definition.shape.orderedBy === undefined ? [] : [...out].map(orderOf));
    busy.delete(null);
    giveBack(records.filter((record) => !busy.has(orderOf(record))));
    // The close gives back what is still out.
    for (const record of records) if (busy.has(orderOf(record))) out.add(record);
  };

  const root: SettlementHook = {
    onAck: (delivery, outcome) => {
      const { epoch } = delivery;
      if (epoch.closed) {
        reportStale(delivery, 'closed');
        return;
      }
      acks.push({ delivery, outcome });
      if (epoch.slotListeners !== null) tellSlotListeners(epoch, delivery.slot, 'settled');
      deferTask(epoch.session, sendAcks);
    },
    onNack: (delivery, reason, askedMs) => {
      const { epoch, attempt } = delivery;
      if (epoch.closed) {
        reportStale(delivery, 'closed');
        return;
      }
      if (!takesMore(epoch)) {
        backToBroker(delivery, true);
        return;
      }
      const delayMs = askedMs >= 0 ? askedMs : waitOf(redelivery, attempt);
      reportRetry(delivery, classifyFailure(reason), reason, delayMs, askedMs);
      tellIfPassedRetry(delivery, reason);
      const due = asyncScheduler.schedule(() => {
        epoch.parked?.delete(due);
        unhold(epoch, 1, 1);
        backToBroker(delivery, true);
      }, delayMs);
      (epoch.parked ??= new Map<Subscription, DeliveryNode>()).set(due, delivery);
      hold(epoch, 1, 1);
    },
    onAbandon: (delivery) => {
      if (!delivery.epoch.closed) backToBroker(delivery, false);
    },
  };

  const start = (session: Session): void => {
    const assign = (ref: PartitionRef): void => {
      queue = createPartition(session, ref, null);
      join(queue);
      notify(session, { type: 'assigned', partition: ref });
    };
    const assigned = (): Partition => queue ?? failNamed(name);
    if (definition.queue !== undefined) assign(definition.queue);
    adapter = definition.connect({
      ...engineReports(session),
      assign,
      ackFailed: (error) => notify(session, { type: 'ack-failed', partition: refOf(assigned()), error }),
      push: (records) => {
        if (records.length === 0) return;
        const partition = assigned();
        if (partition.closed) {
          giveBack(records);
        } else if (takesMore(partition)) {
          for (const record of records) out.add(record);
          take(partition, records);
        } else {
          giveBackUnstarted(records);
        }
      },
      end: () => {
        session.inputEnded = true;
        pump(session);
      },
      fail: (error) => fail(session, sourceError(name, error)),
    });
    adapter.start();
  };

  return {
    start,
    engine: {
      root,
      demand: (_, wanted) => guarded(() => adapter?.demand(wanted)),
      // What it would still receive would be given back at once, and come again.
      leaving: () => guarded(() => (adapter?.leaving === undefined ? adapter?.demand(false) : adapter.leaving())),
      // Its adapters bound what they fetch by themselves.
      room: () => undefined,
      oldest: () => (queue !== null && queue.out > 0 ? (out.values().next().value ?? null) : null),
      refreshLag: () => adapter?.refreshLag?.() ?? [],
      lag: () => adapter?.lag?.() ?? null,
      discard: (_, records) => giveBackUnstarted(records),
      settleUp: (_, done) => {
        if (acking === 0 && acks.length === 0) done();
        else settledUp = done;
      },
      close: (done) => {
        giveBack([...out]);
        out.clear();
        defer(() => adapter?.close() ?? []).subscribe({ error: done, complete: done });
      },
    },
  };
}
