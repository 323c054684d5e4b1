import { from, tap } from 'rxjs';
import { constant } from '../../core/backoff.js';
import type { IdempotencyStore } from '../../core/idempotency-store.js';
import { ackEach } from '../../operators/ack-each.js';
import { dedupe } from '../../operators/dedupe.js';
import { handle } from '../../operators/handle.js';
import { retryToDlq } from '../../operators/retry-to-dlq.js';
import { memoryIdempotencyStore } from '../../stores/memory/memory-idempotency-store.js';
import { check } from '../check.js';
import type { Probe } from '../probe.js';
import { textOf } from '../raw.js';
import { scriptedPublisher, type ScriptedPublisher } from '../scripted-publisher.js';
import type { SourceCase } from '../source-case.js';
import type { Place, SourceWorld } from '../source-world.js';
import { pause } from '../wait.js';

/** 28: repeats of a message, with a store in this process. @internal */
export const repeatCases: readonly SourceCase[] = [
  {
    behaviours: [28],
    title: 'does not swallow a message whose first try failed, and skips its repeat afterwards',
    guarantees: ['I2'],
    run: async (world) => {
      const place = await publishTwins(world);
      const { work } = openDeduped(world, place, memoryIdempotencyStore(), (times) => {
        if (times === 1) throw new Error('the first try fails on purpose');
      });
      await world.until(
        () => work.done > 0,
        () => `The first try failed, and ${work.starts} were started in all: it was swallowed.`,
      );
      if (world.features.committedPositions) await world.commits(place, [2]);
      await world.stays(
        () => work.starts === 2 && work.done === 1,
        () => `Two with one key, a failure first: started ${work.starts} times, done ${work.done} times, not 2 and 1.`,
      );
    },
  },
  {
    behaviours: [28],
    title: 'runs concurrent twins once',
    guarantees: ['I2'],
    run: async (world) => {
      const place = await publishTwins(world);
      const { probe, work } = openDeduped(world, place, memoryIdempotencyStore(), () => pause(world.timings.quietMs));
      await world.receives(probe, ['twin']);
      await world.until(
        () => work.done > 0 && probe.deliveries.length >= 2,
        () => `${probe.deliveries.length} of 2 came, ${work.done} are done.`,
      );
      if (world.features.committedPositions) await world.commits(place, [2]);
      await world.stays(
        () => work.starts === 1,
        () => `Twins were in flight together, and the handler was started ${work.starts} times.`,
      );
    },
  },
  {
    behaviours: [28],
    title: 'holds everything while the store is down: nothing is nacked, no attempt counted, then it goes on',
    guarantees: ['I2', 'I6'],
    run: async (world) => {
      const place = await publishTwins(world);
      const store = memoryIdempotencyStore();
      let claims = 0;
      let isDown = true;
      const faulty: IdempotencyStore = {
        ...store,
        claim: (keys, leaseMs) => {
          claims++;
          if (isDown) throw new Error('the store is down');
          return store.claim(keys, leaseMs);
        },
      };
      const { probe, work, deadLetters } = openDeduped(world, place, faulty, () => undefined);
      await world.until(
        () => claims >= 3,
        () => `The store is down, and was asked ${claims} times.`,
      );
      const received = probe.deliveries.length;
      check(
        work.starts === 0 && deadLetters.calls === 0 && received <= 2,
        () =>
          `The store is down, and ${work.starts} handlers were started, ${deadLetters.calls} dead letters tried, and the ` +
          `source gave ${received} deliveries of 2 messages.`,
      );
      isDown = false;
      await world.until(
        () => work.done === 1,
        () => `The store is back, and ${work.done} are done.`,
      );
      check(
        work.attempts[0] === 1,
        () => `No attempt was made while the store was down, and it is attempt ${work.attempts[0]}.`,
      );
      if (world.features.committedPositions) await world.commits(place, [2]);
    },
  },
  {
    behaviours: [28],
    title: 'processes a repeat again once the store has forgotten the first',
    run: async (world) => {
      const place = await publishTwins(world);
      const store = forgetfulStore();
      const { work } = openDeduped(world, place, store, () => undefined);
      await world.until(
        () => work.done === 1 && store.skipped() === 1,
        () => `${work.done} of the twins are done, and ${store.skipped()} skipped, not 1 and 1.`,
      );
      check(work.starts === 1, () => `As long as the store knew it, the handler was started ${work.starts} times.`);
      store.forget();
      await world.publish(place.topic, [{ value: 'twin', key: 'key', partition: 0 }]);
      await world.until(
        () => work.done === 2,
        () => 'The store has forgotten the key, and its repeat was not processed.',
      );
    },
  },
];

/** A store that forgets when it is told to: by a retention the machine would have to keep up with it. */
function forgetfulStore(): IdempotencyStore & { forget(): void; skipped(): number } {
  let memory = memoryIdempotencyStore();
  let skipped = 0;
  return {
    claim: (keys, leaseMs) =>
      from(memory.claim(keys, leaseMs)).pipe(
        tap((claims) => {
          skipped += claims.filter(({ status }) => status === 'done').length;
        }),
      ),
    renew: (claims, leaseMs) => memory.renew(claims, leaseMs),
    confirm: (claims) => memory.confirm(claims),
    release: (claims) => memory.release(claims),
    forget: () => {
      memory = memoryIdempotencyStore();
    },
    skipped: () => skipped,
  };
}

async function publishTwins(world: SourceWorld): Promise<Place> {
  const place = await world.place();
  const twin = { value: 'twin', key: 'key', partition: 0 };
  await world.publish(place.topic, [twin, twin]);
  return place;
}

interface Deduped {
  readonly probe: Probe;
  readonly work: { starts: number; done: number; readonly attempts: number[] };
  readonly deadLetters: ScriptedPublisher;
}

function openDeduped(
  world: SourceWorld,
  place: Place,
  store: IdempotencyStore,
  task: (times: number) => Promise<void> | void,
): Deduped {
  const work = { starts: 0, done: 0, attempts: [] as number[] };
  const deadLetters = scriptedPublisher();
  const probe = world.open(place, (source) =>
    source.pipe(
      retryToDlq({ deadLetters, backoff: constant(1) }),
      dedupe({ key: textOf, store }),
      handle(
        async (_, { attempt }) => {
          work.attempts.push(attempt);
          await task(++work.starts);
          work.done++;
        },
        { concurrency: 8 },
      ),
      ackEach(),
    ),
  );
  return { probe, work, deadLetters };
}
