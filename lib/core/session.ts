import { Subscription, type ObservableInput, type Subscriber } from 'rxjs';
import type { DeliveryNode, SettlementHook } from './delivery-node.js';
import type { EngineLag } from './engine-reports.js';
import type { LastFailure } from './last-failure.js';
import type { Partition } from './partition.js';
import type { Position } from './position.js';
import type { WarnedKind } from './process-warnings.js';
import type { RecordShape } from './record-shape.js';
import { RingQueue } from './ring-queue.js';
import type { ResolvedOptions } from './source-options.js';
import type { Telemetry } from './telemetry.js';
import { Turns } from './turns.js';

/** An operator that holds deliveries, as its sessions see it. @internal */
export interface SessionListener {
  /** Nothing more can come and all that is out is held: flush what is gathered. */
  onQuiet?(session: Session): void;
  /** All that is out is held, though more can come: flush what others wait for. */
  onStandstill?(session: Session): void;
  /** It holds deliveries until others are settled, now. */
  readonly holdsBack?: boolean;
  /** A drain begins: abandon what is not started yet (I4). */
  onRevoke?(partition: Partition): void;
  /** The epoch is closed: forget what it started. */
  onClose?(partition: Partition): void;
}

/** Something that an operator wants done outside of any settlement. @internal */
export interface PumpTask {
  queued: boolean;
  run(): void;
}

/** @internal */
export interface Stall {
  readonly record: unknown;
  checks: number;
}

/** What the session asks of its engine. @internal */
export interface Engine {
  /** Settles root deliveries. */
  readonly root: SettlementHook;
  /** Read on, or stop reading. */
  demand(partition: Partition, wanted: boolean): void;
  /** The intake has ended for good, by `stop` or an unsubscribe; `close` follows once all is settled. */
  leaving(): void;
  /** There is room for what the adapter asked for. */
  room(session: Session): void;
  /** The record that has been out longest, or `null`. */
  oldest(partition: Partition): unknown;
  /** Asks the broker anew for what `lag` tells, and ends once that is known. */
  refreshLag(): ObservableInput<unknown>;
  /** How far what is settled is behind the end; `null` where that is not known. */
  lag(partition: Partition): EngineLag | null;
  /** What was fetched and will not be emitted; a queue broker gets it back. */
  discard(partition: Partition, records: readonly unknown[]): void;
  /** Nothing is out and nothing more will come, or the drain is cut off: make durable what is done. `done` is called once. */
  settleUp(partitions: readonly Partition[], done: () => void): void;
  /** Ends timers and commits under way, then the adapter's connection. `done` is called once. */
  close(done: () => void): void;
}

/**
 * The state of one subscription to a source. Plain data, changed by the functions beside it: `pump` gives,
 * `lifecycle` ends, the engines settle.
 * @internal
 */
export interface Session {
  readonly subscriber: Subscriber<DeliveryNode>;
  readonly options: ResolvedOptions;
  readonly shape: RecordShape<unknown, Position>;
  readonly engine: Engine;
  readonly telemetry: Telemetry | null;
  /** The consumer group, where the broker has such: dead letters name it. */
  readonly group: string | null;
  /** Codes of misuse that were told. */
  readonly warned: Set<string>;
  /** Kinds of process warnings that were given, at most `MOST_KINDS`. */
  readonly warnings: Map<string, WarnedKind>;
  /** How messages failed last, by their records: as long as these are here. */
  readonly failures: WeakMap<object, LastFailure>;
  /** What is out at the moment, in words. */
  readonly outages: Set<string>;
  /** Assigned and not being revoked. There may be thousands: what runs at each settlement, or each push, never walks through them. */
  readonly partitions: Set<Partition>;
  /** Being revoked: their started work may still settle. */
  readonly draining: Set<Partition>;
  /** Those of `draining` of which nothing is out any more. */
  readonly drained: RingQueue<Partition>;
  /** Those that may have something new to give. */
  readonly givers: Turns;
  /** Those that have retries that are due, next first. */
  readonly retriers: RingQueue<Partition>;
  /** Those that were asked to stop reading and have room again. */
  readonly resumable: Set<Partition>;
  readonly listeners: SessionListener[];
  readonly tasks: RingQueue<PumpTask>;
  /** Ends of inner Observables, such as those of `settling`, that wait for the one under way. In credit. */
  readonly turns: RingQueue<() => void>;
  /** Credits taken: root deliveries emitted and unsettled, at most `maxInFlight` (I3). */
  inFlight: number;
  /** Deliveries that `split` and `fanOut` made of others and that are out, beside those in `inFlight`. */
  parts: number;
  /** Units that our operators hold. */
  held: number;
  /** Partitions whose start position is not durable yet. */
  gated: number;
  /** The others of those in which something is fetched and not emitted. */
  backlog: number;
  /** How many blocked units stop a partition. */
  mostBlocked: number;
  /** Fetched and not emitted, in bytes. */
  pendingBytes: number;
  /** On their way, in bytes. */
  reservedBytes: number;
  /** For how many bytes there was no room when the adapter asked; 0 where it was not refused. */
  wantedBytes: number;
  /** Partitions that were asked to stop reading. */
  paused: number;
  /** Operators that can let nothing more through until something settles. */
  full: number;
  /** How often deliveries that are out began to be waited for, by others that our operators hold. */
  waits: number;
  /** The source can give nothing more until something settles, or its operators could not let it through. */
  waiting: boolean;
  /** The pump runs. */
  pumping: boolean;
  /** The pump was asked for while it ran or was corked. */
  again: boolean;
  /** Loops under way that settle, abandon, revoke or fence. */
  corks: number;
  /** The end of an inner Observable is under way. */
  turnTaken: boolean;
  /** Listeners are being told of quiet. */
  telling: boolean;
  /** A `retryToDlq` stands below: a nack that comes to the source was given above it. */
  retries: boolean;
  /** `until: 'end'`: all was pushed. */
  inputEnded: boolean;
  /** `stop` came: no intake, settle what is out. */
  stopping: boolean;
  unsubscribed: boolean;
  /** Everything is out of the way but commits and the connection. */
  closing: boolean;
  closed: boolean;
  /** Something was emitted since the watchdog slept. */
  emitted: boolean;
  watchdog: Subscription | null;
  /** The oldest unsettled record of each partition and for how many looks of the watchdog it has been that. */
  readonly stalls: Map<Partition, Stall>;
  /** Ends a drain, or a close that takes too long. */
  deadline: Subscription | null;
  /** Completion, scheduled so that it is never inside a settlement. */
  ending: Subscription | null;
  /** The timer of the lag sleeps: a push wakes it. */
  wakeLagTimer: (() => void) | null;
  /** Work of operators that a close waits for, and what ends it where it takes too long. */
  lingering: number;
  readonly background: Subscription;
  /** The call stack was used up below, by this error where it is known: the session is to end on a fresh one. */
  overflowed: boolean;
  overflow: unknown;
  failing: Subscription | null;
  /** Called by the pump when nothing is out and the session is to end. */
  onIdle: () => void;
  /** Called when nothing of `lingering` is left. */
  onLingered: () => void;
  /** Called on a fresh stack after an overflow. */
  onOverflow: () => void;
}

/** @internal */
export function createSession(init: Pick<Session, 'subscriber' | 'options' | 'shape' | 'engine' | 'group'>): Session {
  return {
    subscriber: init.subscriber,
    options: init.options,
    shape: init.shape,
    engine: init.engine,
    telemetry: init.options.telemetry,
    group: init.group,
    warned: new Set(),
    warnings: new Map(),
    failures: new WeakMap(),
    outages: new Set(),
    partitions: new Set(),
    draining: new Set(),
    drained: new RingQueue(),
    givers: new Turns(),
    retriers: new RingQueue(),
    resumable: new Set(),
    listeners: [],
    tasks: new RingQueue(),
    turns: new RingQueue(),
    inFlight: 0,
    parts: 0,
    held: 0,
    full: 0,
    waits: 0,
    gated: 0,
    backlog: 0,
    mostBlocked: Infinity,
    pendingBytes: 0,
    reservedBytes: 0,
    wantedBytes: 0,
    paused: 0,
    waiting: false,
    pumping: false,
    again: false,
    corks: 0,
    turnTaken: false,
    telling: false,
    retries: false,
    inputEnded: false,
    stopping: false,
    unsubscribed: false,
    closing: false,
    closed: false,
    emitted: false,
    watchdog: null,
    stalls: new Map(),
    deadline: null,
    ending: null,
    wakeLagTimer: null,
    lingering: 0,
    background: new Subscription(),
    overflowed: false,
    overflow: null,
    failing: null,
    onIdle: () => undefined,
    onLingered: () => undefined,
    onOverflow: () => undefined,
  };
}
