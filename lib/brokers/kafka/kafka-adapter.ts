import { asyncScheduler, defer, from, Subscription } from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import { SluiceError } from '../../core/errors.js';
import type { LogAdapter, LogCommit, LogEngine } from '../../core/log-engine.js';
import type { KafkaClientLike, KafkaRecord } from './kafka-client.js';
import { isFenced, isPassing, kafkaError } from './kafka-errors.js';
import { checkTopics, fetchBounds, withAdmin, type LogBounds } from './kafka-offsets.js';
import type { ResolvedKafkaOptions } from './kafka-options.js';
import { createReadings, type Readings } from './kafka-readings.js';
import { startRun, type Run, type TopicPartition } from './kafka-run.js';
import { claimGroup, type GroupClaim } from './kafka-twins.js';

const OWNER = 'fromKafka';
const BROKER = 'Kafka';
// How long no fetch may be answered before the broker counts as out; a fetch waits a tenth of a second at most.
const SILENCE_MS = 10_000;
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
  const { groupId, topics, until } = options;
  const backoff = exponential({ initialMs: 300, maxMs: 30_000 });
  const owned = new Subscription();
  let claim: GroupClaim | null = null;
  let opening: Promise<void> = Promise.resolve();
  let run: Run | null = null;
  // The disconnects of consumers that died.
  let burying: Promise<unknown> = Promise.resolve();
  let readings: Readings | null = null;
  let joined = false;
  let failures = 0;
  let leaving = false;
  let closed = false;
  let lastSign = 0;

  const open = async (): Promise<void> => {
    try {
      const ends = await withAdmin(client, async (admin) => {
        await checkTopics(OWNER, admin, topics);
        return until === 'end' ? fetchBounds(admin, topics) : null;
      });
      if (!closed) read(ends);
    } catch (error) {
      if (!closed) engine.fail(kafkaError(OWNER, error, { groupId }));
    }
  };

  const read = (ends: Map<string, LogBounds> | null): void => {
    const mine = createReadings(engine, client, options, ends);
    readings = mine;
    if (leaving) mine.leave();
    const start = (): void => {
      run = startRun(client, options, {
        mayJoin: () => mine.drain(),
        rebalancing: () => void mine.drain(),
        joined: (partitions) => {
          joined = true;
          failures = 0;
          lastSign = environment.now();
          mine.assign(run as Run, partitions);
        },
        batch: (payload) => mine.take(payload),
        skipped: (skip) => mine.skip(skip),
        fetched: () => {
          lastSign = environment.now();
          engine.recovered(BROKER);
        },
        crashed: (error) => {
          mine.loseAll();
          if (run !== null) burying = Promise.all([burying, run.end()]);
          run = null;
          const failure = kafkaError(OWNER, error, { groupId });
          failures++;
          // Before the first join a wrong address looks the same as a broker that is down: say so at once. So does a
          // group that must not be read: kafkajs hides the reason.
          const hopeless = failure.code === 'connection-failed' || failures === FIRST_TRIES;
          if (!isPassing(error) || (!joined && hopeless)) {
            engine.fail(failure);
            return;
          }
          engine.unavailable(BROKER, failure);
          owned.add(asyncScheduler.schedule(start, backoff(failures)));
        },
        mixedTopics: (all) => engine.misuse('mixed-topics', mixedTopics(groupId, all)),
      });
    };
    start();
    lookForSilence();
  };

  const lookForSilence = (): void => {
    const looks = run !== null && joined && readings?.draining !== true;
    if (looks && environment.now() - lastSign > SILENCE_MS) engine.unavailable(BROKER, silence(groupId));
    owned.add(asyncScheduler.schedule(lookForSilence, SILENCE_MS / 10));
  };

  const commit = async (commits: readonly LogCommit<KafkaRecord>[]): Promise<void> => {
    const current = run;
    if (current === null || readings === null) throw new Error('the consumer is being restarted');
    try {
      await readings.commit(current, commits);
    } catch (error) {
      if (isFenced(error)) readings.loseAll();
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
    commit: (commits) => from(commit(commits)),
    leaving: () => {
      leaving = true;
      claim?.leave();
      readings?.leave();
    },
    close: () =>
      defer(async () => {
        closed = true;
        owned.unsubscribe();
        await opening;
        await burying;
        await run?.end();
        claim?.release();
      }),
  };
}

function silence(groupId: string): SluiceError {
  return new SluiceError('connection-failed', `fromKafka: no broker has answered a fetch for ${SILENCE_MS} ms.`, {
    details: { groupId },
  });
}

function mixedTopics(groupId: string, topics: readonly string[]): string {
  return (
    `fromKafka: members of the group ${groupId} read different topics (all of them: ${topics.join(', ')}). Each topic is ` +
    'shared among its readers, as long as a consumer of rxsluice leads the group; plain kafkajs leaves topics unread.'
  );
}
