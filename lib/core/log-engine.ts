import { defer, retry, timer, type Observable, type ObservableInput } from 'rxjs';
import { gate, join, ungate } from './assignment.js';
import { DEFAULT_NACK, exponential, type Backoff } from './backoff.js';
import { createCommitter } from './committer.js';
import type { Delivery } from './delivery.js';
import { SluiceError } from './errors.js';
import { hasRoom } from './demand.js';
import { take, takesMore } from './intake.js';
import { engineReports, type EngineLag, type EngineReports } from './engine-reports.js';
import { fail } from './lifecycle.js';
import {
  createPartition,
  onEpochClose,
  refOf,
  nextOf,
  reserve,
  type Partition,
  type PartitionRef,
} from './partition.js';
import type { Position } from './position.js';
import { pump } from './pump.js';
import type { RecordShape } from './record-shape.js';
import { lose, revoke } from './revoke.js';
import type { Session } from './session.js';
import { resolveSourceOptions, type SourceOptions } from './source-options.js';
import { createSource, sourceError, type EngineSetup } from './source.js';
import { LogHook } from './log-hook.js';
import { notify } from './telemetry.js';
import { Window } from './window.js';

/** One assignment of a partition, as the adapter sees it; the same partition assigned again is another object. @public */
export interface AssignedPartition extends PartitionRef {
  /** False once it is being revoked, lost or closed: pushes to it are ignored. */
  readonly live: boolean;
  /** The adapter was asked to stop reading it. */
  readonly paused: boolean;
}

/** What the engine offers to the adapter of a log. @public */
export interface LogEngine<R> extends EngineReports {
  /**
   * The partition is ours from here on. `prepare` makes the resolved start position durable; nothing is emitted before
   * it has completed (I10), and it is tried again with backoff. Leave it out where a position is stored already.
   */
  assign(partition: PartitionRef, prepare?: () => ObservableInput<unknown>): AssignedPartition;
  /**
   * Whether so many bytes may be fetched without passing `maxBufferedBytes`: what is pushed and not emitted counts, and what is
   * reserved. Where not, `room` of the adapter is called once there is as much. For what brings many bytes at once: ask first.
   */
  hasRoom(bytes: number): boolean;
  /** How many bytes are on their way to a partition, or here and not pushed yet; replaces what was said of it before. */
  reserve(partition: AssignedPartition, bytes: number): void;
  /** Records in their order. */
  push(partition: AssignedPartition, records: readonly R[]): void;
  /**
   * Drain, commit, close the epoch, then `done` (I4). Bounded by `drainTimeoutMs`, or by the time given, and one second
   * for the commit.
   */
  revoke(partition: AssignedPartition, done: () => void, drainTimeoutMs?: number): void;
  /** The ownership is gone already: what is out is void, nothing is committed (I5). */
  lose(partition: AssignedPartition): void;
  /**
   * What is to be committed of the partition has changed without a settlement, as behind control records that no message
   * follows: the adapter is asked to commit it within the interval. Then `last` of the commit may be `null`.
   */
  commitSoon(partition: AssignedPartition): void;
  /** The position jumped without our doing (I10); with `'error'` the source fails, typed. */
  positionLost(
    partition: AssignedPartition,
    lost: { readonly expected: string; readonly found: string; readonly action: 'error' | 'earliest' | 'latest' },
  ): void;
  /**
   * All that is assigned was pushed to its end: settle, commit, close, complete. `assign`, `revoke` and `lose` take it
   * back, for what was under way comes again: say it anew once it is true of what is assigned then.
   */
  end(): void;
  /** The source cannot go on (I7). */
  fail(error: unknown): void;
}

/** What to make durable of a partition: everything up to and including `last` is settled. @public */
export interface LogCommit<R> {
  /** Whose watermark it is. */
  readonly partition: AssignedPartition;
  /** The newest record below the watermark; `null`, with `commitsAbove` or after `commitSoon`, where it has not moved from the start. */
  readonly last: R | null;
  /** The records above the watermark that are settled too, oldest first. Costs a walk over the span. */
  above(): readonly R[];
}

/** Where a partition stands, for its lag. @public */
export interface LogProgress<R> {
  /** Which partition. */
  readonly partition: AssignedPartition;
  /** The newest record below the watermark; `null` where that has not moved from the start. */
  readonly last: R | null;
  /** The oldest record that is here and not settled, be it out or not emitted yet; `null` where there is none. */
  readonly oldest: R | null;
}

/** What the adapter of a log does for the engine. Any of these may throw or fail; the engine tries again or reports. @public */
export interface LogAdapter<R> {
  /** Begins: assign, read, push. Called once. */
  start(): void;
  /** Read on (`true`), or stop reading (`false`): the queue passed its bound, or fell to half of it. */
  demand(partition: AssignedPartition, wanted: boolean): void;
  /** There is room for as many bytes as `hasRoom` refused last. Optional. */
  room?(): void;
  /** Makes watermarks durable; one call at a time. */
  commit(commits: readonly LogCommit<R>[]): ObservableInput<unknown>;
  /**
   * Asks the broker anew for what `lag` answers, and completes once that is known. Called each `lagEveryMs`, also where the last call
   * has not ended: what was asked need not be asked twice. One that fails leaves what is known. Optional.
   */
  refreshLag?(): ObservableInput<unknown>;
  /**
   * How far the end of a partition is beyond what is settled, by what is known at this moment; `null` where nothing is. Called for each
   * partition and `lagEveryMs`: it costs no walk over what is out. Optional: telemetry is told no lag then, only what is buffered.
   */
  lag?(progress: LogProgress<R>): EngineLag | null;
  /** The intake has ended for good, by `stop` or an unsubscribe: `close` follows once all is settled. Optional. */
  leaving?(): void;
  /** Ends every timer, socket and listener. Called once, after the last commit. */
  close(): ObservableInput<unknown>;
}

/** What makes a source of a log. @public */
export interface LogSourceDefinition<R extends object, P extends Position> {
  /** The source's name in errors, for instance `fromKafka`. */
  readonly name: string;
  /** The consumer group, where the broker has such: dead letters name it. */
  readonly group?: string;
  /** The user's options, checked by the engine; the adapter's own may be among them. */
  readonly options: SourceOptions;
  /** How to read a record. */
  readonly shape: RecordShape<R, P>;
  /** How long a watermark may wait for its commit, in milliseconds. Default: 500. */
  readonly commitIntervalMs?: number;
  /** Commits a partition at once when its watermark has moved this far, in messages. Default: only by the interval. */
  readonly commitEvery?: number;
  /**
   * The adapter can make acks above the watermark durable, so that they do not come again to the next owner: it is asked
   * to commit also where only those have changed. Default: false.
   */
  readonly commitsAbove?: boolean;
  /** What a bare nack waits that no operator answers. Default: exponential, 100 ms to 30 s, full jitter. */
  readonly redelivery?: Backoff;
  /** Makes the adapter of one subscription. It starts nothing: that is `start`. */
  connect(engine: LogEngine<R>): LogAdapter<R>;
}

/**
 * A source over a log (Kafka, Kinesis, the memory broker): a watermark for each partition, commits that never pass it
 * (I1), local redelivery of what is nacked, epochs. The adapter only translates; see docs/writing-a-broker.md.
 * @public
 */
export function logSource<R extends object, P extends Position>(
  definition: LogSourceDefinition<R, P>,
): Observable<Delivery<Uint8Array | null, P>> {
  const options = resolveSourceOptions(definition.name, definition.options);
  return createSource(definition, options, () => setUp(definition));
}

function setUp<R extends object, P extends Position>(definition: LogSourceDefinition<R, P>): EngineSetup {
  const { name, commitIntervalMs = 500, commitEvery = Infinity, commitsAbove = false } = definition;
  const redelivery = definition.redelivery ?? exponential(DEFAULT_NACK);
  let adapter: LogAdapter<R> | null = null;

  const committer = createCommitter(
    (partitions) =>
      (adapter as LogAdapter<R>).commit(
        partitions.map((partition) => {
          const { last } = partition.window as Window;
          return { partition, last: last as R | null, above: () => (partition.window as Window).settledAbove() as R[] };
        }),
      ),
    commitIntervalMs,
  );

  // A throw of the adapter must not come out of somebody's ack.
  const guarded = (session: Session, call: () => void): void => {
    try {
      call();
    } catch (cause) {
      fail(session, sourceError(name, cause));
    }
  };

  const prepareStart = (session: Session, partition: Partition, prepare: () => ObservableInput<unknown>): void => {
    gate(partition);
    const delay = exponential({ initialMs: 100, maxMs: 5_000, jitter: 'none' });
    const report = (error: unknown, failures: number): Observable<unknown> => {
      notify(session, { type: 'ack-failed', partition: refOf(partition), error });
      return timer(delay(failures));
    };
    const preparing = defer(prepare)
      .pipe(retry({ delay: report }))
      .subscribe({
        complete: () => {
          ungate(partition);
          pump(session);
        },
        error: (cause: unknown) => fail(session, sourceError(name, cause)),
      });
    onEpochClose(partition, () => preparing.unsubscribe());
  };

  const engineFor = (session: Session): LogEngine<R> => ({
    assign: (ref, prepare) => {
      const partition = createPartition(session, ref, new Window());
      session.inputEnded = false;
      // A rebalance that ends while the source closes: nobody would close it any more.
      if (session.closing) {
        partition.live = false;
        partition.closed = true;
        return partition;
      }
      join(partition);
      notify(session, { type: 'assigned', partition: refOf(partition) });
      if (prepare !== undefined) prepareStart(session, partition, prepare);
      return partition;
    },
    hasRoom: (bytes) => hasRoom(session, bytes),
    reserve: (partition, bytes) => reserve(partition as Partition, bytes),
    push: (assigned, records) => {
      const partition = assigned as Partition;
      if (records.length > 0 && takesMore(partition)) take(partition, records);
    },
    revoke: (partition, done, drainTimeoutMs) => {
      session.inputEnded = false;
      revoke(partition as Partition, done, drainTimeoutMs);
    },
    lose: (partition) => {
      session.inputEnded = false;
      lose(partition as Partition);
    },
    commitSoon: (assigned) => {
      const partition = assigned as Partition;
      if (!partition.closed) committer.mark(partition);
    },
    positionLost: (partition, lost) => {
      notify(session, { type: 'position-lost', partition: refOf(partition as Partition), ...lost });
      if (lost.action === 'error') fail(session, positionLostError(name, partition, lost));
    },
    ...engineReports(session),
    end: () => {
      session.inputEnded = true;
      pump(session);
    },
    fail: (error) => fail(session, sourceError(name, error)),
  });

  return {
    engine: {
      root: new LogHook(committer, commitEvery, commitsAbove, redelivery),
      demand: (partition, wanted) => guarded(partition.session, () => adapter?.demand(partition, wanted)),
      leaving: () => adapter?.leaving?.(),
      room: (session) => guarded(session, () => adapter?.room?.()),
      oldest: (partition) => (partition.window as Window).oldest,
      refreshLag: () => adapter?.refreshLag?.() ?? [],
      lag: (partition) => {
        const { last, oldest } = partition.window as Window;
        return (
          adapter?.lag?.({ partition, last: last as R | null, oldest: (oldest ?? nextOf(partition)) as R | null }) ??
          null
        );
      },
      discard: () => undefined,
      settleUp: committer.flush,
      close: (done) => {
        committer.close();
        defer(() => adapter?.close() ?? []).subscribe({ error: done, complete: done });
      },
    },
    start: (session) => {
      adapter = definition.connect(engineFor(session));
      adapter.start();
    },
  };
}

function positionLostError(
  owner: string,
  { topic, partition }: PartitionRef,
  { expected, found }: { readonly expected: string; readonly found: string },
): SluiceError {
  return new SluiceError(
    'position-lost',
    `${owner}: position ${expected} of ${topic}/${partition} is gone, the log goes on at ${found}. Messages between ` +
      "them may be lost. Look into retention, then start with onPositionLost: 'earliest' or 'latest'.",
    { details: { owner, topic, partition, expected, found } },
  );
}
