import { asyncScheduler, defer, EMPTY, from, Subscription, type SchedulerAction } from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import { isSluiceError, SluiceError } from '../../core/errors.js';
import type { LogAdapter, LogCommit, LogEngine } from '../../core/log-engine.js';
import { createPatience, isRefusal } from '../../core/patience.js';
import type { KafkaAdminLike, KafkaClientLike, KafkaRecord } from './kafka-client.js';
import { isPassing, kafkaError, kafkaState } from './kafka-errors.js';
import { countPartitions, fetchBounds, withAdmin, type LogBounds } from './kafka-offsets.js';
import type { ResolvedKafkaOptions } from './kafka-options.js';
import { createReadings, type Readings } from './kafka-readings.js';
import { startRun, type Run, type TopicPartition } from './kafka-run.js';
import { claimGroup, type GroupClaim } from './kafka-twins.js';

const OWNER = 'fromKafka';
const BROKER = 'Kafka';
// How long no fetch may be answered before the broker counts as out; a fetch waits a tenth of a second at most.
const SILENCE_MS = 10_000;
const WATCH_MS = SILENCE_MS / 10;
// A member that was refused nothing for so long since it joined may read: a broker refuses a fetch at once.
const STEADY_MS = 10_000;
// How often a first join may fail of something that passes, such as a coordinator that is loading.
const FIRST_TRIES = 3;

/**
 * One subscription of `fromKafka`: finds the topics, runs a consumer, starts another where one dies of something that
 * passes, and ends all of it.
 * @internal
 */
export function connectKafka(
  engine: LogEngine<KafkaRecord>,
  client: KafkaClientLike,
  options: ResolvedKafkaOptions,
): LogAdapter<KafkaRecord> {
  const { groupId, topics, until, rebalanceTimeoutMs } = options;
  const backoff = exponential({ initialMs: 300, maxMs: 30_000 });
  const owned = new Subscription();
  let claim: GroupClaim | null = null;
  let opening: Promise<void> = Promise.resolve();
  let run: Run | null = null;
  let restarting: Subscription | null = null;
  // What a close waits for: questions to the broker, the disconnects of consumers that died.
  let pending: Promise<unknown> = Promise.resolve();
  let readings: Readings | null = null;
  let joined = false;
  let failures = 0;
  let leaving = false;
  let closed = false;
  let lastSign = 0;
  // When it was last asked whether the topics still exist, and how often one was not there.
  let asked = -Infinity;
  let missed = 0;
  // When kafkajs was last about to join; `null` once it has.
  let joining: number | null = null;
  // When this run joined; `null` before.
  let joinedAt: number | null = null;
  const patience = createPatience(options.refusalTimeoutMs);

  const closeAfter = (work: Promise<unknown>): void => {
    // Without what they answer, or each would keep all before it.
    pending = Promise.allSettled([pending, work]).then(() => undefined);
  };

  const ask = <T>(question: (admin: KafkaAdminLike) => Promise<T>): Promise<T> => {
    const answer = withAdmin(client, question);
    closeAfter(answer);
    return answer;
  };

  const open = async (): Promise<void> => {
    try {
      const [counts, ends] = await ask(async (admin) => [
        await countPartitions(OWNER, admin, topics),
        until === 'end' ? await fetchBounds(admin, topics) : null,
      ]);
      if (!closed) read(counts, ends);
    } catch (error) {
      if (!closed) engine.fail(kafkaError(OWNER, error, { groupId }));
    }
  };

  const read = (counts: Map<string, number>, ends: Map<string, LogBounds> | null): void => {
    const mine = createReadings(engine, ask, options, counts, ends);
    readings = mine;
    if (leaving) mine.leave();

    const start = (): void => {
      run = startRun(client, options, {
        mayJoin: () => {
          joining = environment.now();
          return mine.drain();
        },
        rebalancing: () => {
          joining = environment.now();
          mine.drain();
        },
        joined: (partitions) => {
          joined = true;
          failures = 0;
          joining = null;
          joinedAt = lastSign = environment.now();
          mine.assign(run as Run, partitions);
        },
        batch: (payload) => mine.take(payload),
        skipped: (skip) => mine.skip(skip),
        fetched: () => {
          lastSign = environment.now();
          engine.recovered(BROKER);
        },
        crashed: (error) => {
          void bury();
          const failure = kafkaError(OWNER, error, { groupId });
          // Before the first join a wrong address looks the same as a broker that is down: say so at once. So does a
          // group that must not be read: kafkajs hides the reason.
          const hopeless = failure.code === 'connection-failed' || failures + 1 === FIRST_TRIES;
          if (isPassing(error) && (joined || !hopeless)) {
            // A broker that does not answer refuses nothing: the time of refusals begins anew.
            patience.unreached(BROKER, failure);
            startLater(failure);
          }
          // A topic that is gone is looked for by `meetSilence`.
          else if (isRefusal(failure) && failure.code !== 'unknown-topic') meetRefusal(failure);
          else engine.fail(failure);
          joinedAt = null;
        },
        mixedTopics: (all) => engine.misuse('mixed-topics', mixedTopics(groupId, all)),
      });
    };

    // To join takes no right to read a topic, so a join alone does not show that there is one.
    const meetRefusal = (failure: SluiceError): void => {
      if (joinedAt !== null && environment.now() - joinedAt >= STEADY_MS) patience.answered(BROKER);
      const over = patience.refused(BROKER, failure);
      if (over === null) startLater(failure);
      else engine.fail(over);
    };

    const bury = async (): Promise<void> => {
      const dead = run;
      run = null;
      joining = null;
      mine.loseAll();
      const buried = dead?.end() ?? Promise.resolve();
      closeAfter(buried);
      await buried;
    };

    const startLater = (failure: SluiceError): void => {
      engine.unavailable(BROKER, failure);
      restarting = asyncScheduler.schedule(start, backoff(++failures));
    };

    const watch = function (this: SchedulerAction<unknown>): void {
      this.schedule(undefined, WATCH_MS);
      if (run === null || !joined) return;
      const now = environment.now();
      if (joining === null) {
        if (now - lastSign > SILENCE_MS) meetSilence();
        else closeAfter(run.lookForCoordinator());
        return;
      }
      // kafkajs may give up a join and read on as a member of before, where nothing is ours any more.
      const patienceMs = rebalanceTimeoutMs + SILENCE_MS;
      if (now - joining > patienceMs) void bury().then(() => !closed && startLater(lostJoin(groupId, patienceMs)));
    };

    start();
    owned.add(asyncScheduler.schedule(watch, WATCH_MS));
  };

  const meetSilence = (): void => {
    engine.unavailable(BROKER, silence(groupId));
    if (environment.now() - asked < SILENCE_MS) return;
    asked = environment.now();
    // kafkajs asks for a topic that is deleted on and on. Twice, since a broker that starts may not know its topics yet.
    ask((admin) => countPartitions(OWNER, admin, topics)).then(
      () => (missed = 0),
      (error: unknown) => {
        if (isSluiceError(error) && error.code === 'unknown-topic' && ++missed === 2 && !leaving) engine.fail(error);
      },
    );
  };

  const commit = async (commits: readonly LogCommit<KafkaRecord>[]): Promise<void> => {
    const current = run;
    if (current === null || readings === null) throw kafkaState('the consumer is being restarted');
    try {
      await readings.commit(current, commits);
    } catch (error) {
      throw kafkaError(OWNER, error, { groupId });
    }
  };

  return {
    start: () => {
      owned.add(
        claimGroup(client, groupId).subscribe({
          next: (granted) => {
            claim = granted;
            opening = open();
          },
          error: (error: unknown) => engine.fail(error),
        }),
      );
    },
    demand: (assigned, wanted) => {
      if (run === null) return;
      if (wanted) readings?.resume(run, assigned);
      else run.pause(assigned as TopicPartition);
    },
    commit: (commits) => {
      const committing = commit(commits);
      closeAfter(committing);
      return from(committing);
    },
    refreshLag: () => {
      if (run === null || readings === null) return EMPTY;
      const asking = readings.askEnds(run);
      closeAfter(asking);
      return from(asking);
    },
    lag: (progress) => readings?.lag(progress) ?? null,
    leaving: () => {
      leaving = true;
      claim?.leave();
      readings?.leave();
    },
    close: () =>
      defer(async () => {
        closed = true;
        owned.unsubscribe();
        restarting?.unsubscribe();
        await opening;
        await run?.end();
        await pending;
        claim?.release();
      }),
  };
}

function silence(groupId: string): SluiceError {
  return new SluiceError('connection-failed', `fromKafka: no broker has answered a fetch for ${SILENCE_MS} ms.`, {
    details: { groupId },
  });
}

function lostJoin(groupId: string, ms: number): SluiceError {
  return new SluiceError('connection-failed', `fromKafka: the group has not let us join again for ${ms} ms.`, {
    details: { groupId },
  });
}

function mixedTopics(groupId: string, topics: readonly string[]): string {
  return (
    `fromKafka: members of the group ${groupId} read different topics (all of them: ${topics.join(', ')}). Each topic is ` +
    'shared among its readers, as long as a consumer of rxsluice leads the group; plain kafkajs leaves topics unread.'
  );
}
