import { asyncScheduler, map, of, Subject, type Observable, type ObservableInput } from 'rxjs';
import { constant, type Backoff } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import { logSource, type AssignedPartition, type LogCommit, type LogEngine } from '../../lib/core/log-engine.js';
import type { MessageBytes, MessageHeaders } from '../../lib/core/message.js';
import type { Outcome } from '../../lib/core/outcome.js';
import type { Partition } from '../../lib/core/partition.js';
import type { Position } from '../../lib/core/position.js';
import type { RecordShape } from '../../lib/core/record-shape.js';
import type { Session } from '../../lib/core/session.js';
import type { SourceOptions } from '../../lib/core/source-options.js';
import type { TelemetryEvent } from '../../lib/core/telemetry.js';

/** What a marble stands for; the value is the marble itself where nothing else is given. */
export interface ScriptedMessage {
  readonly value?: Uint8Array | string | null;
  readonly key?: MessageBytes;
  readonly headers?: MessageHeaders;
  readonly partition?: number;
  /** Default: 0. */
  readonly timestamp?: number;
}

export interface ScriptedRecord {
  readonly name: string;
  readonly offset: number;
  readonly partition: number;
  readonly value: Uint8Array | null;
  readonly key: MessageBytes;
  readonly headers: MessageHeaders;
  readonly timestamp: number;
}

export interface ScriptedPosition extends Position {
  readonly broker: 'scripted';
  readonly offset: number;
}

export interface ScriptedLogOptions extends SourceOptions {
  readonly messages?: Readonly<Record<string, ScriptedMessage>>;
  readonly partitions?: number;
  readonly topic?: string;
  readonly group?: string;
  readonly redelivery?: Backoff;
  readonly commit?: () => ObservableInput<unknown>;
  /** Leaves telemetry out, for floods. Where there is some, it is told no lag unless `lagEveryMs` is set. */
  readonly quiet?: boolean;
}

export interface Timed<E> {
  readonly at: number;
  readonly event: E;
}

type EventOf<Type extends TelemetryEvent['type']> = Extract<TelemetryEvent, { type: Type }>;

/** A broker with one reader, told by the spec what to do. What is committed outlives a subscription. */
export interface ScriptedLog {
  readonly deliveries: Observable<Delivery<Uint8Array | null, ScriptedPosition>>;
  /** The same with text for a value. */
  readonly texts: Observable<Delivery<string, ScriptedPosition>>;
  /** The names of what is settled, by outcome, as it happens. */
  readonly done: Observable<string>;
  readonly skipped: Observable<string>;
  readonly deadLettered: Observable<string>;
  /** The names of what a nack brought back to the source. */
  readonly nacked: Observable<string>;
  /** The name of the last message that each commit covers. */
  readonly commits: Observable<string>;
  readonly events: readonly Timed<TelemetryEvent>[];
  /** A subscription has not reported `closed` yet. */
  readonly isOpen: boolean;
  readonly session: Session;
  eventsOf<Type extends TelemetryEvent['type']>(type: Type): readonly Timed<EventOf<Type>>[];
  settled(outcome?: Outcome): readonly string[];
  publish(name: string, message?: ScriptedMessage): void;
  /** Appends without pushing one by one: what is there at subscription comes as one chunk. */
  fill(count: number, message?: (index: number) => ScriptedMessage): void;
  committed(partition?: number): number;
  assign(partition?: number): void;
  revoke(partition?: number, done?: () => void): void;
  lose(partition?: number): void;
  stop(): void;
  end(): void;
  fail(error: unknown): void;
}

const shape: RecordShape<ScriptedRecord, ScriptedPosition> = {
  value: ({ value }) => value,
  key: ({ key }) => key,
  headers: ({ headers }) => headers,
  timestamp: ({ timestamp }) => timestamp,
  position: ({ offset }) => ({ broker: 'scripted', offset }),
  positionText: ({ offset }) => String(offset),
  bytes: ({ value }) => value?.length ?? 0,
};

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array | null): string {
  return new TextDecoder().decode(bytes ?? undefined);
}

export function scriptedLog(options: ScriptedLogOptions = {}): ScriptedLog {
  const {
    messages = {},
    partitions = 1,
    topic = 'orders',
    group,
    redelivery,
    commit,
    quiet,
    ...sourceOptions
  } = options;
  const logs = Array.from({ length: partitions }, () => ({
    records: [] as ScriptedRecord[],
    committed: 0,
    next: 0,
    assigned: null as AssignedPartition | null,
  }));
  const done = new Subject<string>();
  const skipped = new Subject<string>();
  const deadLettered = new Subject<string>();
  const nacked = new Subject<string>();
  const commits = new Subject<string>();
  const stops = new Subject<void>();
  const events: Timed<TelemetryEvent>[] = [];
  let engine: LogEngine<ScriptedRecord> | null = null;
  let session: Session | null = null;
  let open = 0;
  let ended = false;

  const logOf = (partition: number) => logs[partition] as (typeof logs)[number];

  const nameOf = (id: string): string => {
    const [, partition, offset] = id.split('/');
    return (logOf(Number(partition)).records[Number(offset)] as ScriptedRecord).name;
  };

  const feed = (partition: number): void => {
    const log = logOf(partition);
    if (engine === null || !log.assigned?.live || log.assigned.paused) return;
    const records = log.records.slice(log.next);
    log.next = log.records.length;
    engine.push(log.assigned, records);
  };

  const assign = (partition = 0): void => {
    const log = logOf(partition);
    if (engine === null) throw new Error('the log has no reader');
    log.next = log.committed;
    log.assigned = engine.assign({ topic, partition });
    ({ session } = log.assigned as Partition);
    feed(partition);
    if (ended) engine.end();
  };

  const listen = (event: TelemetryEvent): void => {
    events.push({ at: asyncScheduler.now(), event });
    if (event.type === 'closed') open--;
    if (event.type === 'retried' && event.by === 'source') nacked.next(nameOf(event.message.id));
    if (event.type !== 'settled') return;
    const outcomes = { done, skipped, 'dead-lettered': deadLettered };
    outcomes[event.outcome].next(nameOf(event.message.id));
  };

  const store = (all: readonly LogCommit<ScriptedRecord>[]): Observable<unknown> => {
    const records = all.map(({ last }) => last as ScriptedRecord);
    for (const { partition, offset } of records) logOf(partition).committed = offset + 1;
    for (const { name } of records) commits.next(name);
    return of(undefined);
  };

  const deliveries = logSource<ScriptedRecord, ScriptedPosition>({
    name: 'scriptedLog',
    ...(group === undefined ? {} : { group }),
    options: { stop: stops, ...(quiet ? {} : { telemetry: listen, lagEveryMs: Infinity }), ...sourceOptions },
    shape,
    commitIntervalMs: 0,
    redelivery: redelivery ?? constant(10),
    connect: (connected) => {
      if (engine !== null) throw new Error('the log has a reader already');
      engine = connected;
      if (!quiet) open++;
      return {
        start: () => logs.forEach((_, partition) => assign(partition)),
        demand: (assigned, wanted) => {
          if (wanted) feed(assigned.partition as number);
        },
        commit: (all) => (commit === undefined ? store(all) : commit()),
        close: () => {
          engine = null;
          for (const log of logs) log.assigned = null;
          return [];
        },
      };
    },
  });

  return {
    deliveries,
    texts: deliveries.pipe(map((delivery) => delivery.withValue(textOf(delivery.value)))),
    done,
    skipped,
    deadLettered,
    nacked,
    commits,
    events,
    get isOpen() {
      return open > 0;
    },
    get session() {
      if (session === null) throw new Error('the log was never read');
      return session;
    },
    eventsOf: (type) => events.filter(({ event }) => event.type === type) as never,
    settled: (outcome) =>
      events.flatMap(({ event }) =>
        event.type === 'settled' && (outcome === undefined || event.outcome === outcome)
          ? [nameOf(event.message.id)]
          : [],
      ),
    publish: (name, message = messages[name] ?? {}) => {
      const { partition = 0, value = name, key = null, headers = {}, timestamp = 0 } = message;
      const { records } = logOf(partition);
      const bytes = typeof value === 'string' ? bytesOf(value) : value;
      records.push({ name, offset: records.length, partition, value: bytes, key, headers, timestamp });
      feed(partition);
    },
    fill: (count, message = () => ({})) => {
      for (let index = 0; index < count; index++) {
        const { partition = 0, value = String(index), key = null, headers = {}, timestamp = 0 } = message(index);
        const { records } = logOf(partition);
        const bytes = typeof value === 'string' ? bytesOf(value) : value;
        records.push({ name: String(index), offset: records.length, partition, value: bytes, key, headers, timestamp });
      }
      logs.forEach((_, partition) => feed(partition));
    },
    committed: (partition = 0) => logOf(partition).committed,
    assign,
    revoke: (partition = 0, then = () => undefined) => {
      const { assigned } = logOf(partition);
      engine?.revoke(assigned as AssignedPartition, then);
    },
    lose: (partition = 0) => engine?.lose(logOf(partition).assigned as AssignedPartition),
    stop: () => stops.next(),
    end: () => {
      ended = true;
      engine?.end();
    },
    fail: (error) => engine?.fail(error),
  };
}
