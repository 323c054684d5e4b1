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
import { isSluiceError } from '../../core/errors.js';
import type { ShardLease } from '../../core/lease-store.js';
import type { LogAdapter, LogEngine } from '../../core/log-engine.js';
import { createPatience, isRefusal } from '../../core/patience.js';
import { decodeCheckpoint, encodeCheckpoint, isEnd, type Checkpoint } from './kinesis-checkpoint.js';
import type { KinesisClientLike } from './kinesis-client.js';
import { isThrottled, kinesisError } from './kinesis-errors.js';
import { fanOutReading, type ReadShard } from './kinesis-fan-out.js';
import { createLeases } from './kinesis-leases.js';
import { isReadable, type Rows } from './kinesis-lineage.js';
import type { ResolvedKinesisOptions } from './kinesis-options.js';
import { createReading, type Reading } from './kinesis-reading.js';
import { pageSlices } from './kinesis-page-slices.js';
import { createReadBudget } from './kinesis-read-budget.js';
import type { KinesisRecord } from './kinesis-record.js';
import { readShard } from './kinesis-shard.js';
import { CLOCKS_DIFFER_MS, createShards } from './kinesis-shards.js';
import { noShard, strangeCheckpoint, strangeStore } from './kinesis-source-errors.js';
import { streamName } from './kinesis-stream.js';

const OWNER = 'fromKinesis';
const SERVICE = 'Kinesis';
const LEASES = 'the lease store';
// Who asks for the shards of the stream, beside those that are read.
const SHARDS = '';
const STORE_TIMEOUT_MS = 10_000;
// Credentials that have run out are mostly renewed by the client itself.
const FIRST_READS = 3;
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
  let isAlive: (row: ShardLease) => boolean = () => false;
  let everAnswered = false;
  let leaving = false;

  const { refusalTimeoutMs } = options;
  // Apart, since a permission to list is none to read.
  const listing = createPatience(refusalTimeoutMs);
  const reads = createPatience(refusalTimeoutMs, FIRST_READS);
  const keeping = createPatience(refusalTimeoutMs);

  // Who had no answer, a shard or all of them: others may have had one meanwhile.
  const failing = new Set<string>();

  const settled = (who: string): void => {
    failing.delete(who);
    if (failing.size === 0) engine.recovered(SERVICE);
  };
  const patienceOf = (who: string) => (who === SHARDS ? listing : reads);
  const answered = (who: string): void => {
    everAnswered = true;
    patienceOf(who).answered(who);
    settled(who);
  };

  /** What lasts ends the stream; the rest is told, and tried again by whoever asked. */
  const failed = (who: string, error: unknown): void => {
    const typed = kinesisError(OWNER, error, { stream: name, ...(who === SHARDS ? {} : { shard: who }) });
    const patience = patienceOf(who);
    // What is not clear will not become so by itself.
    const isRefused = isRefusal(typed) || typed.code === 'source-failed';
    const over = isRefused ? patience.refused(who, typed) : patience.unreached(who, typed);
    if (over !== null || !everAnswered) {
      engine.fail(over ?? typed);
      return;
    }
    failing.add(who);
    engine.unavailable(SERVICE, typed);
  };

  const leasesOut = (who: string, error: unknown): void => {
    const typed = isSluiceError(error) ? error : strangeStore(name, error);
    const over = isRefusal(typed) ? keeping.refused(who, typed) : keeping.unreached(who, typed);
    if (over === null) engine.unavailable(LEASES, error);
    else engine.fail(over);
  };

  const budget = createReadBudget(engine, options.maxBufferedBytes);

  const disown = (shard: string): void => {
    owned.get(shard)?.stop();
    owned.delete(shard);
    reads.forget(shard);
    settled(shard);
  };

  const shards = createShards(
    { ...options, client, store, group, storeTimeoutMs: STORE_TIMEOUT_MS },
    {
      answered: () => answered(SHARDS),
      failed: (error) => {
        if (!isThrottled(error)) failed(SHARDS, error);
      },
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
      seen: (found, alive) => {
        rows = found;
        isAlive = alive;
        for (const [shard, { reading }] of owned) noteQuiet(shard, reading);
        endIfRead();
      },
      isKnown: (shard) => shards.isKnown(shard),
      renewed: (shard) => owned.get(shard)?.goOn(),
      out: leasesOut,
      answered: keeping.answered,
      back: () => engine.recovered(LEASES),
    },
  );

  const read: ReadShard =
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
        if (reading.isAtEnd) endIfRead();
      },
      wake: () => shard.wake(),
      over: () => over(reading),
    });
    const shard = read(
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
        failed: (error) => failed(row.shard, error),
        answered: () => answered(row.shard),
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
    if (reading.isAtEnd) owned.get(row.shard)?.stop();
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
              if (!isThrottled(error)) failed(reading.shard, error);
              return isOurs() ? timer(backoff(failures)) : EMPTY;
            },
          }),
        )
        .subscribe({
          next: (isListed) => {
            if (!isOurs()) return;
            answered(reading.shard);
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
      timers.add(leases.release(shard).subscribe({ error: (error: unknown) => engine.fail(error) }));
    });
  };

  const endIfRead = (): void => {
    if (until !== 'end' || leaving || rows.size === 0) return;
    for (const row of rows.values()) {
      if (isEnd(row.checkpoint)) continue;
      const mine = owned.get(row.shard);
      if (mine !== undefined) {
        if (!mine.reading.isAtEnd) return;
      } else if (isReadable(row, rows) && !(row.owner !== worker && isAlive(row))) return;
    }
    engine.end();
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
            if (progress === null) return EMPTY;
            if (progress !== 'finished') return leases.write(shard, progress);
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
