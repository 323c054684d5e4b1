import {
  asyncScheduler,
  concat,
  defer,
  EMPTY,
  merge,
  retry,
  Subscription,
  timer,
  type Observable,
  type SchedulerAction,
} from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import type { ShardLease } from '../../core/lease-store.js';
import type { LogAdapter, LogEngine } from '../../core/log-engine.js';
import { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from './kinesis-checkpoint.js';
import type { KinesisClientLike } from './kinesis-client.js';
import { readByNow, waitForOthers } from './kinesis-end.js';
import { fanOutReading, type ReadShard } from './kinesis-fan-out.js';
import { createLeases } from './kinesis-leases.js';
import type { Rows } from './kinesis-lineage.js';
import type { ResolvedKinesisOptions } from './kinesis-options.js';
import { createKinesisOutages, SHARDS } from './kinesis-outages.js';
import { createReading, type Reading } from './kinesis-reading.js';
import { pageSlices } from './kinesis-page-slices.js';
import { createReadBudget } from './kinesis-read-budget.js';
import type { KinesisRecord } from './kinesis-record.js';
import { readShard } from './kinesis-shard.js';
import { CLOCKS_DIFFER_MS, createShards } from './kinesis-shards.js';
import { noShard, strangeCheckpoint } from './kinesis-source-errors.js';
import { streamName } from './kinesis-stream.js';

const OWNER = 'fromKinesis';
const STORE_TIMEOUT_MS = 10_000;
// How many shards are begun in one turn of the loop: a worker that is alone may take thousands with one look.
const BEGUN_A_TURN = 100;

interface Owned {
  readonly reading: Reading;
  /** Goes on with the page that came, and then with the shard. */
  goOn(): void;
  /** Reads nothing any more. */
  stop(): void;
  /** It is being handed over, or has ended. */
  leaving: boolean;
}

/**
 * One subscription of `fromKinesis`: reads the shards whose leases it has, keeps their checkpoints in the leases, and gives
 * them away when another worker asks.
 * @internal
 */
export function connectKinesis(
  engine: LogEngine<KinesisRecord>,
  client: KinesisClientLike,
  options: ResolvedKinesisOptions,
): LogAdapter<KinesisRecord> {
  const { stream, consumer, leases: store, leaseMs, drainTimeoutMs, until, fanOut } = options;
  const name = streamName(stream);
  const group = { consumer, stream: name };
  const worker = `${options.worker} ${Math.floor(environment.random() * 36 ** 10).toString(36)}`;
  const backoff = exponential({ initialMs: 250, maxMs: 10_000 });
  const owned = new Map<string, Owned>();
  // Taken, and not begun yet.
  const toBegin = new Map<string, ShardLease>();
  const timers = new Subscription();
  let endMs = Infinity;
  let rows: Rows = new Map();
  // Open shards that were read `until: 'end'`, all of it done, and let go.
  const read = new Set<string>();
  let leaving = false;
  let judging: Subscription | null = null;

  const outages = createKinesisOutages(engine, name, options.refusalTimeoutMs);
  const budget = createReadBudget(engine, options.maxBufferedBytes);

  const disown = (shard: string): void => {
    owned.get(shard)?.stop();
    owned.delete(shard);
    outages.forget(shard);
  };

  const shards = createShards(
    { ...options, client, store, group, storeTimeoutMs: STORE_TIMEOUT_MS },
    {
      answered: () => outages.answered(SHARDS),
      failed: (error) => outages.failed(SHARDS, error),
    },
  );

  const leases = createLeases(
    { store, group, worker, leaseMs, drainTimeoutMs },
    {
      sync: shards.sync,
      taken: (row) => {
        if (toBegin.size === 0) timers.add(asyncScheduler.schedule(beginSome));
        toBegin.set(row.shard, row);
      },
      lost: (shard) => {
        toBegin.delete(shard);
        const mine = owned.get(shard);
        if (mine === undefined) return;
        disown(shard);
        engine.lose(mine.reading.assigned);
      },
      wanted: (shard) => handOver(shard),
      isRead: (shard) => read.has(shard),
      seen: (found) => {
        rows = found;
        for (const [shard, { reading }] of owned) noteQuiet(shard, reading);
        endIfRead();
        if (until === 'end') wait(owned.size > 0 || !shards.covers(rows) ? [] : unread());
      },
      isKnown: (shard) => shards.isKnown(shard),
      renewed: (shard) => owned.get(shard)?.goOn(),
      out: outages.leasesFailed,
      answered: outages.leasesAnswered,
      back: outages.leasesBack,
    },
  );

  const readShards: ReadShard =
    fanOut === null
      ? readShard
      : fanOutReading(engine, { ...options, client, owner: OWNER, stream: name, fanOut, streamArn: () => shards.arn });

  const noteQuiet = (shard: string, reading: Reading): void => {
    const progress = reading.quietProgress();
    if (progress !== null) leases.note(shard, progress);
  };

  const beginSome = function (this: SchedulerAction<unknown>): void {
    let left = BEGUN_A_TURN;
    for (const [shard, row] of toBegin) {
      if (left-- === 0) {
        this.schedule();
        return;
      }
      toBegin.delete(shard);
      begin(row);
    }
  };

  const begin = (row: ShardLease): void => {
    const from = decodeCheckpoint(row.checkpoint);
    if (from === null) {
      engine.fail(strangeCheckpoint(name, row.shard));
      return;
    }
    const assigned = engine.assign({ topic: name, partition: row.shard });
    const reading = createReading(engine, assigned, {
      row,
      start: from,
      range: shards.rangeOf(row.shard),
      options,
      retentionMs: () => shards.retentionMs,
      isClosed: () => shards.isClosed(row.shard),
      endMs,
    });
    const follow = (what: 'on' | 'stop' | Checkpoint): void => {
      if (what === 'on') return;
      if (what === 'stop') owned.get(row.shard)?.stop();
      else shard.restart(what);
    };
    const mayGive = (): boolean => assigned.live && !assigned.paused && leases.isSure(row.shard);
    const mine = budget.open(assigned, () => shard.wake());
    const slices = pageSlices(reading, mine, {
      mayGive,
      follow: (what) => {
        follow(what);
        if (reading.isAtEnd) atEnd(reading);
      },
      wake: () => shard.wake(),
      over: () => over(reading),
    });
    const shard = readShards(
      { ...options, client, shard: row.shard, from, received: null, iterator: shards.latestOf(row) },
      {
        mayRead: () => {
          const may = mayGive() && !reading.hasMore;
          if (!may) mine.declined();
          return may;
        },
        admit: mine.admit,
        admitEvent: mine.admitEvent,
        unread: mine.nothing,
        page: slices.page,
        ended: slices.ended,
        gone: () => gone(reading, follow),
        unknownPosition: () => follow(reading.loses('another stream or shard', false)),
        failed: (error) => outages.failed(row.shard, error),
        answered: () => outages.answered(row.shard),
      },
    );
    owned.set(row.shard, {
      reading,
      goOn: slices.goOn,
      stop: () => {
        slices.close();
        mine.close();
        shard.stop();
      },
      leaving: false,
    });
    // A start that is still to come.
    if (!reading.isAtEnd) return;
    owned.get(row.shard)?.stop();
    atEnd(reading);
  };

  /** It has come to where `until: 'end'` ends: once all of it is done, a commit tells. */
  const atEnd = (reading: Reading): void => {
    engine.commitSoon(reading.assigned);
    judgeSoon();
  };

  /** All of it is done, `until: 'end'`: others may read on, or to an end of their own, which they would wait for. */
  const letGo = (reading: Reading): void => {
    const { shard, assigned } = reading;
    timers.add(
      asyncScheduler.schedule(() => {
        const mine = owned.get(shard);
        if (mine?.reading !== reading) return;
        read.add(shard);
        if (!mine.leaving) {
          disown(shard);
          engine.revoke(assigned, () => undefined);
          release(shard);
        }
        judgeSoon();
      }),
    );
  };

  const release = (shard: string): void => {
    timers.add(leases.release(shard).subscribe({ error: (error: unknown) => engine.fail(error) }));
  };

  // What came before its end is still to be done; once it is, a commit tells.
  const over = (reading: Reading): void => {
    reading.isOver = true;
    reading.isAtEnd = false;
    engine.commitSoon(reading.assigned);
  };

  /** Retention has passed all of the shard, or the stream is deleted. */
  const gone = (reading: Reading, follow: (what: 'on' | 'stop' | Checkpoint) => void): void => {
    const isOurs = (): boolean => owned.get(reading.shard)?.reading === reading;
    timers.add(
      shards
        .isListed(reading.shard)
        .pipe(
          retry({
            delay: (error: unknown, failures) => {
              // Nobody would tell that what is not ours any more is back.
              if (!isOurs()) return EMPTY;
              outages.failed(reading.shard, error);
              return timer(backoff(failures));
            },
          }),
        )
        .subscribe({
          next: (isListed) => {
            if (!isOurs()) return;
            outages.answered(reading.shard);
            // A shard of that name is in another stream of that name; there the position means nothing.
            if (isListed && reading.isPlaced) follow(reading.loses('another stream', false));
            else if (isListed) engine.fail(noShard(name, reading.shard));
            else if (reading.loses('no such shard', true) !== 'stop') over(reading);
          },
          error: (error: unknown) => engine.fail(error),
        }),
    );
  };

  const finished = (reading: Reading): void => {
    timers.add(
      asyncScheduler.schedule(() => {
        if (owned.get(reading.shard)?.reading !== reading) return;
        disown(reading.shard);
        engine.revoke(reading.assigned, () => undefined);
        // What it became is to be read now.
        leases.look();
      }),
    );
  };

  const handOver = (shard: string): void => {
    const mine = owned.get(shard);
    if (mine === undefined || mine.leaving || leaving) return;
    mine.leaving = true;
    mine.stop();
    engine.revoke(mine.reading.assigned, () => {
      if (owned.get(shard) !== mine) return;
      disown(shard);
      release(shard);
    });
  };

  // A shard that is being handed over is not at its end: messages that came and were not begun are for its next owner.
  const isAtEnd = ({ reading, leaving: isGoing }: Owned): boolean => reading.isAtEnd && !isGoing;

  const isRead = (shard: string): boolean => {
    const mine = owned.get(shard);
    return read.has(shard) || (mine !== undefined && isAtEnd(mine));
  };

  const unread = (): ShardLease[] => {
    const isReadByNow = readByNow({ rows, endMs, isRead, isClosed: shards.isClosed });
    return [...rows.values()].filter((row) => !isReadByNow(row));
  };

  const wait = waitForOthers((message) => {
    engine.misuse('until-end-waits', `${OWNER} (stream ${name}): ${message}`);
  });

  const endIfRead = (): void => {
    if (until !== 'end' || leaving || !leases.isCurrent()) return;
    // The shards that are being read come first, and mostly one of them is not at its end.
    for (const mine of owned.values()) if (!isAtEnd(mine)) return;
    if (shards.covers(rows) && unread().length === 0) engine.end();
  };

  // Once for all shards that come to their end in one turn: each judgement goes through all rows.
  const judgeSoon = (): void => {
    if (judging !== null) return;
    judging = asyncScheduler.schedule(() => {
      judging = null;
      endIfRead();
    });
    timers.add(judging);
  };

  return {
    start: () => {
      if (until === 'end') endMs = environment.wallClock() + CLOCKS_DIFFER_MS;
      leases.start();
    },
    demand: ({ partition }, wanted) => {
      if (wanted) owned.get(partition as string)?.goOn();
    },
    room: budget.room,
    commit: (commits) =>
      defer(() =>
        merge(
          ...commits.map(({ partition, last, above }): Observable<unknown> => {
            const shard = partition.partition as string;
            const mine = owned.get(shard);
            if (mine === undefined || mine.reading.assigned !== partition) return EMPTY;
            const progress = mine.reading.progressOf({ last, above });
            if (progress !== 'finished') {
              const { reading } = mine;
              return concat(
                progress === null ? EMPTY : leases.write(shard, progress),
                defer(() => {
                  if (reading.isAtEnd && reading.isAllDone) letGo(reading);
                  return EMPTY;
                }),
              );
            }
            const end = { checkpoint: END, acked: '', doneUntil: environment.wallClock() };
            return concat(
              leases.release(shard, end),
              defer(() => {
                finished(mine.reading);
                return EMPTY;
              }),
            );
          }),
        ),
      ),
    lag: ({ partition, oldest }) => {
      const mine = owned.get(partition.partition as string);
      return mine?.reading.assigned === partition ? mine.reading.lag(oldest) : null;
    },
    leaving: () => {
      leaving = true;
      // They are given back with all that is held.
      toBegin.clear();
      leases.leave();
      for (const mine of owned.values()) mine.stop();
    },
    close: () =>
      defer(() => {
        for (const mine of owned.values()) mine.stop();
        timers.unsubscribe();
        return leases.close();
      }),
  };
}

const END = encodeCheckpoint({ kind: 'end' });
