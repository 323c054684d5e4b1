import { asyncScheduler, concat, defer, EMPTY, merge, retry, Subscription, timer, type Observable } from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import { SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import type { ShardLease } from '../../core/lease-store.js';
import type { LogAdapter, LogEngine } from '../../core/log-engine.js';
import { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from './kinesis-checkpoint.js';
import type { KinesisClientLike } from './kinesis-client.js';
import { isThrottled, kinesisError } from './kinesis-errors.js';
import { readByNow, waitForOthers } from './kinesis-end.js';
import { fanOutReading, type ReadShard } from './kinesis-fan-out.js';
import { createLeases } from './kinesis-leases.js';
import type { Rows } from './kinesis-lineage.js';
import type { ResolvedKinesisOptions } from './kinesis-options.js';
import { createReading, type Reading } from './kinesis-reading.js';
import type { KinesisRecord } from './kinesis-record.js';
import { readShard, type Shard } from './kinesis-shard.js';
import { CLOCKS_DIFFER_MS, createShards } from './kinesis-shards.js';
import { streamName } from './kinesis-stream.js';

const OWNER = 'fromKinesis';
const SERVICE = 'Kinesis';
const LEASES = 'the lease store';
// Who asks for the shards of the stream, beside those that are read.
const SHARDS = '';
const STORE_TIMEOUT_MS = 10_000;
// Credentials that have run out are mostly renewed by the client itself.
const MOST_DENIALS = 3;
const MOST_FAILURES = 5;
const DENIALS: ReadonlySet<SluiceErrorCode> = new Set(['authentication-failed', 'not-authorized'] as const);

interface Owned {
  readonly reading: Reading;
  readonly shard: Shard;
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
  const timers = new Subscription();
  let endMs = Infinity;
  let rows: Rows = new Map();
  // Open shards that were read `until: 'end'`, all of it done, and let go.
  const read = new Set<string>();
  let everAnswered = false;
  let syncFailures = 0;
  let leaving = false;

  // Who had no answer, a shard or all of them: others may have had one meanwhile.
  const failing = new Set<string>();

  const settled = (who: string): void => {
    failing.delete(who);
    if (failing.size === 0) engine.recovered(SERVICE);
  };
  const answered = (who: string): void => {
    everAnswered = true;
    settled(who);
  };

  /** What cannot pass ends the stream; the rest is told, and tried again by whoever asked. */
  const failed = (who: string, error: unknown, failures: number): void => {
    const typed = kinesisError(OWNER, error, { stream: name, ...(who === SHARDS ? {} : { shard: who }) });
    const isDenied = DENIALS.has(typed.code);
    const isLasting = typed.code === 'unknown-topic' || (isDenied && failures >= MOST_DENIALS);
    const isUnclear = typed.code === 'source-failed' && failures >= MOST_FAILURES;
    if (!everAnswered || isLasting || isUnclear) {
      engine.fail(typed);
      return;
    }
    failing.add(who);
    engine.unavailable(SERVICE, typed);
  };

  const disown = (shard: string): void => {
    owned.delete(shard);
    settled(shard);
  };

  const shards = createShards(
    { ...options, client, store, group, storeTimeoutMs: STORE_TIMEOUT_MS },
    {
      answered: () => {
        syncFailures = 0;
        answered(SHARDS);
      },
      failed: (error) => {
        if (!isThrottled(error)) failed(SHARDS, error, ++syncFailures);
      },
    },
  );

  const leases = createLeases(
    { store, group, worker, leaseMs, drainTimeoutMs },
    {
      sync: shards.sync,
      taken: (row) => begin(row),
      lost: (shard) => {
        const mine = owned.get(shard);
        if (mine === undefined) return;
        disown(shard);
        mine.shard.stop();
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
      renewed: () => {
        for (const { shard } of owned.values()) shard.wake();
      },
      out: (error) => engine.unavailable(LEASES, error),
      back: () => engine.recovered(LEASES),
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
      if (what === 'stop') shard.stop();
      else shard.restart(what);
    };
    const shard = readShards(
      { ...options, client, shard: row.shard, from, received: null, iterator: shards.latestOf(row) },
      {
        mayRead: () => assigned.live && !assigned.paused && leases.isSure(row.shard),
        page: (page) => {
          follow(reading.take(page));
          if (reading.isAtEnd) atEnd(reading);
        },
        ended: () => {
          if (reading.ends() === 'on') over(reading);
        },
        gone: () => gone(reading, follow),
        unknownPosition: () => follow(reading.loses('another stream or shard', false)),
        failed: (error, failures) => failed(row.shard, error, failures),
        answered: () => answered(row.shard),
      },
    );
    owned.set(row.shard, { reading, shard, leaving: false });
    // A start that is still to come.
    if (!reading.isAtEnd) return;
    shard.stop();
    atEnd(reading);
  };

  /** It has come to where `until: 'end'` ends: once all of it is done, a commit tells. */
  const atEnd = (reading: Reading): void => {
    engine.commitSoon(reading.assigned);
    endIfRead();
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
        endIfRead();
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
              if (!isThrottled(error)) failed(reading.shard, error, failures);
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
    mine.shard.stop();
    engine.revoke(mine.reading.assigned, () => {
      if (owned.get(shard) !== mine) return;
      disown(shard);
      release(shard);
    });
  };

  // What has come of a shard that is being handed over, and is not begun, is for its next owner.
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

  return {
    start: () => {
      if (until === 'end') endMs = environment.wallClock() + CLOCKS_DIFFER_MS;
      leases.start();
    },
    demand: ({ partition }, wanted) => {
      if (wanted) owned.get(partition as string)?.shard.wake();
    },
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
    leaving: () => {
      leaving = true;
      leases.leave();
      for (const { shard } of owned.values()) shard.stop();
    },
    close: () =>
      defer(() => {
        for (const { shard } of owned.values()) shard.stop();
        timers.unsubscribe();
        return leases.close();
      }),
  };
}

const END = encodeCheckpoint({ kind: 'end' });

function noShard(stream: string, shard: string): SluiceError {
  return new SluiceError(
    'source-failed',
    `${OWNER} (stream ${stream}): Kinesis lists ${shard} and says that there is none. Begin anew; if it stays so, ask AWS.`,
    { details: { owner: OWNER, stream, shard } },
  );
}

function strangeCheckpoint(stream: string, shard: string): SluiceError {
  return new SluiceError(
    'store-failed',
    `${OWNER} (stream ${stream}): the lease of ${shard} has a checkpoint that no version of this library has written. ` +
      'Another program has changed the row: put it right, or remove the rows of the consumer to begin anew.',
    { details: { owner: OWNER, stream, shard } },
  );
}
