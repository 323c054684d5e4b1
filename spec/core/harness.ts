import { NEVER, type Observable, type ObservableInput, type Subscription } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import type { Delivery, Position, SourceOptions, TelemetryEvent } from '../../lib/index.js';
import { environment } from '../../lib/core/environment.js';
import type { EngineLag } from '../../lib/core/engine-reports.js';
import {
  logSource,
  type AssignedPartition,
  type LogAdapter,
  type LogEngine,
  type LogProgress,
} from '../../lib/core/log-engine.js';
import type { RecordShape } from '../../lib/core/record-shape.js';

/** Runs in virtual time; `advance` lets so many milliseconds pass. */
export function virtually(test: (time: { advance(ms: number): void; now(): number; timers(): number }) => void): void {
  const scheduler = new TestScheduler(() => undefined);
  const { random } = environment;
  // The longest wait of a jitter, so that times can be told.
  environment.random = () => 0.999_999;
  try {
    scheduler.run(() =>
      test({
        advance: (ms) => {
          const to = scheduler.frame + ms;
          scheduler.maxFrames = to;
          scheduler.flush();
          scheduler.frame = to;
        },
        now: () => scheduler.frame,
        timers: () => scheduler.actions.filter(({ closed }) => !closed).length,
      }),
    );
  } finally {
    environment.random = random;
  }
}

export interface TestRecord {
  readonly offset: number;
  readonly key?: string;
  readonly size?: number;
}

const shape: RecordShape<TestRecord, Position> = {
  value: ({ offset }) => Uint8Array.of(offset & 255, offset >> 8),
  key: ({ key }) => key ?? null,
  headers: () => ({}),
  timestamp: ({ offset }) => offset,
  position: () => ({ broker: 'test' }),
  positionText: ({ offset }) => String(offset),
  bytes: ({ size }) => size ?? 1,
};

/** A log whose adapter does as the spec says, and writes down what it is asked. */
export interface TestLog {
  readonly deliveries: Observable<Delivery<Uint8Array | null>>;
  readonly engine: LogEngine<TestRecord>;
  readonly events: TelemetryEvent[];
  /** `partition:last offset`, as committed; with `commitsAbove` also `+offset` of each ack above. */
  readonly commits: string[];
  readonly demands: string[];
  closes: number;
  /** How often it was told that the intake has ended, and that there is room. */
  leaves: number;
  rooms: number;
  /** What a commit or a close answers; set it to fail or to wait. */
  onCommit: () => ObservableInput<unknown>;
  onClose: () => ObservableInput<unknown>;
  onRoom: () => void;
  /** What it answers when it is asked for its lag, and when the broker is to be asked. */
  onLag: (progress: LogProgress<TestRecord>) => EngineLag | null;
  onRefreshLag: () => ObservableInput<unknown>;
  partition(number: number, prepare?: () => ObservableInput<unknown>): AssignedPartition;
  push(partition: AssignedPartition, ...offsets: (number | TestRecord)[]): void;
}

export interface TestLogOptions extends SourceOptions {
  /** Without telemetry. Where there is some, it is told no lag unless `lagEveryMs` is set. */
  readonly silent?: boolean;
  readonly commitIntervalMs?: number;
  readonly commitEvery?: number;
  readonly commitsAbove?: boolean;
}

export function testLog(options: TestLogOptions = {}): TestLog {
  const { silent = false, commitIntervalMs = 10, commitEvery, commitsAbove = false, ...sourceOptions } = options;
  const events: TelemetryEvent[] = [];
  let engine: LogEngine<TestRecord> | null = null;
  const log: TestLog = {
    deliveries: logSource<TestRecord, Position>({
      name: 'testLog',
      options: silent
        ? sourceOptions
        : { telemetry: (event) => void events.push(event), lagEveryMs: Infinity, ...sourceOptions },
      shape,
      commitIntervalMs,
      ...(commitEvery === undefined ? {} : { commitEvery }),
      commitsAbove,
      connect: (made): LogAdapter<TestRecord> => {
        engine = made;
        return {
          start: () => undefined,
          leaving: () => void log.leaves++,
          room: () => {
            log.rooms++;
            log.onRoom();
          },
          demand: ({ partition }, wanted) => void log.demands.push(`${partition}${wanted ? '+' : '-'}`),
          commit: (commits) => {
            for (const { partition, last, above } of commits) {
              const offsets = above().map(({ offset }) => `+${offset}`);
              log.commits.push(`${partition.partition}:${last?.offset ?? ''}${commitsAbove ? offsets.join('') : ''}`);
            }
            return log.onCommit();
          },
          refreshLag: () => log.onRefreshLag(),
          lag: (progress) => log.onLag(progress),
          close: () => {
            log.closes++;
            return log.onClose();
          },
        };
      },
    }),
    get engine() {
      return engine as LogEngine<TestRecord>;
    },
    events,
    commits: [],
    demands: [],
    closes: 0,
    leaves: 0,
    rooms: 0,
    onCommit: () => [],
    onClose: () => [],
    onRoom: () => undefined,
    onLag: () => null,
    onRefreshLag: () => [],
    partition: (partition, prepare) => log.engine.assign({ topic: 't', partition }, prepare),
    push: (partition, ...offsets) =>
      log.engine.push(
        partition,
        offsets.map((offset) => (typeof offset === 'number' ? { offset } : offset)),
      ),
  };
  return log;
}

/** Subscribes and keeps every delivery, unsettled. */
export function collect<T>(deliveries: Observable<Delivery<T>>): {
  readonly all: Delivery<T>[];
  readonly ids: string[];
  readonly ends: string[];
  readonly subscription: Subscription;
} {
  const all: Delivery<T>[] = [];
  const ids: string[] = [];
  const ends: string[] = [];
  const subscription = deliveries.subscribe({
    next: (delivery) => {
      all.push(delivery);
      ids.push(`${delivery.id.slice(2)}#${delivery.attempt}`);
    },
    error: (error: { code?: string }) => ends.push(`error ${error.code}`),
    complete: () => ends.push('complete'),
  });
  return { all, ids, ends, subscription };
}

export const never = (): ObservableInput<unknown> => NEVER;
