import { Observable, of, throwError, timer, map, type ObservableInput } from 'rxjs';
import type { AssignedPartition, LogAdapter, LogEngine } from '../../lib/core/log-engine.js';
import type { Partition } from '../../lib/core/partition.js';
import type { RecordShape } from '../../lib/core/record-shape.js';
import type { Position } from '../../lib/core/position.js';
import type { Choices } from './random.js';

/** A record of the model: partition and offset say all. */
export interface ModelRecord {
  readonly p: number;
  readonly i: number;
  readonly key: string | null;
}

/** One partition of the model: what was published, and what the broker believes. */
export interface ModelLog {
  readonly records: ModelRecord[];
  /** The next offset to read, or `null` before the first commit. */
  committed: number | null;
  /** Offsets that may be passed by a commit: acked at the bottom, dead-lettered, or done by another owner. */
  readonly accounted: Set<number>;
  /** What retention dropped. */
  first: number;
  /** Our assignment, if it is ours. */
  assigned: Partition | null;
  /** It is on its way back. */
  revoking: boolean;
  /** The next record to push. */
  fed: number;
  /** The position was lost, and nothing may have come after it to commit. */
  lost: boolean;
}

/** The broker as the model sees it: it knows what must hold and calls `fail` where it does not. */
export interface ModelBroker {
  readonly logs: readonly ModelLog[];
  commitDown: boolean;
  engine: LogEngine<ModelRecord> | null;
  connect(engine: LogEngine<ModelRecord>): LogAdapter<ModelRecord>;
  publish(p: number, count: number): void;
  assign(p: number): void;
  revoke(p: number): void;
  lose(p: number): void;
  /** Another member owns the partition for a while and gets something done. */
  others(p: number): void;
  feed(): void;
}

export const modelShape: RecordShape<ModelRecord, Position> = {
  value: ({ p, i }) => Uint8Array.of(p, i & 255, i >> 8),
  key: ({ key }) => key,
  headers: () => ({}),
  timestamp: () => 0,
  position: () => ({ broker: 'model' }),
  positionText: ({ i }) => String(i),
  bytes: () => 10,
};

export function modelBroker(
  partitions: number,
  keys: number,
  { below, chance }: Choices,
  options: { readonly lostAction: 'earliest' | 'latest'; readonly fail: (what: string) => void },
): ModelBroker {
  const { fail } = options;
  const logs = Array.from({ length: partitions }, (): ModelLog => ({
    records: [],
    committed: null,
    accounted: new Set(),
    first: 0,
    assigned: null,
    revoking: false,
    fed: 0,
    lost: false,
  }));

  const commitOne = (partition: AssignedPartition, next: number): void => {
    const p = partition.partition as number;
    const log = logs[p] as ModelLog;
    if ((partition as Partition).closed) fail(`I5 commit of ${p} from a closed epoch`);
    if (log.assigned !== partition) fail(`I5 commit of ${p} that is not ours`);
    if (log.committed !== null && next < log.committed)
      fail(`I5 commit of ${p} moved back ${log.committed} -> ${next}`);
    for (let i = log.first; i < next; i++) {
      if (log.accounted.has(i)) continue;
      fail(`I1 commit ${p}:${next} passes ${i}`);
      break;
    }
    log.committed = next;
  };

  const feedOne = (log: ModelLog): void => {
    const { engine } = broker;
    while (engine !== null && log.assigned?.live && !log.assigned.paused && log.fed < log.records.length) {
      if (log.fed < log.first) {
        const action = options.lostAction;
        engine.positionLost(log.assigned, { expected: String(log.fed), found: String(log.first), action });
        log.lost = true;
        log.fed = action === 'earliest' ? log.first : log.records.length;
        for (let i = 0; i < log.fed; i++) if (i < log.first || action === 'latest') log.accounted.add(i);
        continue;
      }
      const records = log.records.slice(log.fed, log.fed + 1 + below(8));
      log.fed += records.length;
      engine.push(log.assigned, records);
    }
  };

  const broker: ModelBroker = {
    logs,
    commitDown: false,
    engine: null,
    connect: (engine) => {
      broker.engine = engine;
      return {
        start: () => logs.forEach((_, p) => chance(0.8) && broker.assign(p)),
        demand: (partition, wanted) => {
          if (wanted) feedOne(logs[partition.partition as number] as ModelLog);
        },
        commit: (commits): ObservableInput<unknown> => {
          if (broker.commitDown) return chance(0.5) ? throwError(() => new Error('commit is down')) : throws();
          const write = (): void =>
            commits.forEach(({ partition, last }) => commitOne(partition, (last as ModelRecord).i + 1));
          if (chance(0.5)) return of(write());
          return new Observable<never>((subscriber) => {
            write();
            subscriber.add(timer(below(10)).subscribe(() => subscriber.complete()));
          });
        },
        close: () => {
          for (const log of logs) log.assigned = null;
          broker.engine = null;
          return chance(0.5) ? [] : timer(below(5));
        },
      };
    },
    publish: (p, count) => {
      const log = logs[p] as ModelLog;
      for (let n = 0; n < count; n++) {
        log.records.push({ p, i: log.records.length, key: chance(0.1) ? null : `k${below(keys)}` });
      }
      feedOne(log);
    },
    assign: (p) => {
      const log = logs[p] as ModelLog;
      if (broker.engine === null || log.assigned !== null) return;
      // Nobody has what retention dropped in hand any more: lost by retention, not by us.
      for (let i = 0; i < log.first; i++) log.accounted.add(i);
      const next = log.committed ?? log.first;
      log.fed = next;
      const prepare = (): ObservableInput<unknown> => {
        if (broker.commitDown) return throwError(() => new Error('commit is down'));
        return timer(below(5)).pipe(map(() => (log.committed ??= next)));
      };
      log.assigned = broker.engine.assign(
        { topic: 't', partition: p },
        log.committed === null ? prepare : undefined,
      ) as Partition;
      feedOne(log);
    },
    revoke: (p) => {
      const log = logs[p] as ModelLog;
      const { assigned } = log;
      if (broker.engine === null || assigned === null || log.revoking) return;
      log.revoking = true;
      broker.engine.revoke(assigned, () => {
        log.revoking = false;
        if (!assigned.closed) fail(`I4 revoke of ${p} is done before its epoch is closed`);
        if (log.assigned === assigned) log.assigned = null;
      });
    },
    lose: (p) => {
      const log = logs[p] as ModelLog;
      const { assigned } = log;
      if (broker.engine === null || assigned === null) return;
      log.assigned = null;
      broker.engine.lose(assigned);
    },
    others: (p) => {
      const log = logs[p] as ModelLog;
      if (log.assigned !== null || log.committed === null) return;
      const next = Math.min(log.records.length, log.committed + below(6));
      for (let i = log.committed; i < next; i++) log.accounted.add(i);
      log.committed = next;
    },
    feed: () => logs.forEach(feedOne),
  };
  return broker;
}

function throws(): never {
  throw new Error('commit is down');
}
