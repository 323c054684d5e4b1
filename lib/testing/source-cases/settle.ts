import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import type { Probe } from '../probe.js';
import { textOf } from '../raw.js';
import type { SourceCase } from '../source-case.js';
import type { Place, SourceWorld } from '../source-world.js';

// A timer may fire a little before what the clock says.
const CLOCK_SLACK_MS = 2;

/** 7 to 11: what a settlement does. @internal */
export const settleCases: readonly SourceCase[] = [
  {
    behaviours: [7],
    title: 'commits up to the oldest unsettled message and no further',
    guarantees: ['I1'],
    needs: ['committedPositions'],
    run: async (world) => {
      const { place, probe } = await receivesFive(world);
      probe.ack('b', 'd');
      await commitsNothingPast(world, place, 0);
      probe.ack('a');
      await world.commits(place, [2]);
      await commitsNothingPast(world, place, 2);
      probe.ack('c', 'e');
      await world.commits(place, [5]);
    },
  },
  {
    behaviours: [7, 8],
    title: 'after acks of a, b and d and a nack of c gives c and e, and neither a nor b, to the next subscription',
    guarantees: ['I1', 'I2'],
    run: async (world) => {
      const { place, probe } = await receivesFive(world);
      probe.ack('a', 'b', 'd');
      probe.newest('c').nack('not now');
      probe.unsubscribe();
      await world.closes(probe);
      const next = world.open(place);
      await world.receives(next, ['c', 'e']);
      await world.receivesNoMore(next);
      const wrong = next.texts.filter((text) => ['a', 'b'].includes(text));
      check(wrong.length === 0, () => `Acked, with nothing unsettled below, and received again: ${list(wrong)}.`);
      check(
        !world.features.acksAbove || !next.texts.includes('d'),
        () => 'd was acked, acksAbove is on, and it was received again.',
      );
    },
  },
  {
    behaviours: [8],
    title: 'gives what was never settled to the next subscription, all of it',
    guarantees: ['I2'],
    run: async (world) => {
      const place = await world.place(world.features.partitions ? 2 : 1);
      await world.publish(place.topic, messages(names(20)));
      const probe = world.open(place);
      await world.receives(probe, names(20));
      probe.unsubscribe();
      probe.letGo();
      await world.closes(probe);
      const next = world.open(place);
      await world.receives(next, names(20));
      next.ackAll();
    },
  },
  {
    behaviours: [9, 10],
    title: 'gives a nacked message again, the same under another attempt, until it is acked',
    guarantees: ['I2'],
    run: async (world) => {
      const { place, probe } = await receivesFive(world);
      const first = probe.newest('a');
      for (const times of [1, 2]) {
        probe.newest('a').nack('again, please', { delayMs: 1 });
        await world.until(
          () => timesReceived(probe, 'a') > times,
          () => `a was nacked ${times} times and came ${timesReceived(probe, 'a')} times.`,
        );
      }
      const again = probe.newest('a');
      check(again !== first, () => 'The next attempt is the same object: a late settlement would settle it.');
      check(again.id === first.id, () => `The id was ${first.id} and is ${again.id} in the next attempt.`);
      const attempts = probe.deliveries.filter(({ value }) => textOf(value) === 'a').map(({ attempt }) => attempt);
      check(
        !world.features.attempts || attempts.join() === '1,2,3',
        () => `The attempts of a are ${attempts.join(', ')}, not 1, 2, 3.`,
      );
      probe.ackAll();
      await comesNoMore(world, probe, 'a');
      if (world.features.committedPositions) await world.commits(place, [5]);
    },
  },
  {
    behaviours: [9],
    title: 'gives a message nacked with delayMs again after that time, and not before',
    run: async (world) => {
      const { probe } = await receivesFive(world);
      const delayMs = Math.max(100, world.timings.quietMs);
      const nackedAt = performance.now();
      probe.newest('b').nack('later', { delayMs });
      await world.until(
        () => timesReceived(probe, 'b') > 1,
        () => `b was nacked with delayMs ${delayMs} and did not come again.`,
      );
      const afterMs = performance.now() - nackedAt;
      check(
        afterMs >= delayMs - CLOCK_SLACK_MS,
        () => `b was nacked with delayMs ${delayMs} and came again after ${Math.round(afterMs)} ms.`,
      );
    },
  },
  {
    behaviours: [11],
    title: 'does nothing on a second settlement, and tells telemetry of it',
    guarantees: ['I1'],
    run: async (world) => {
      const { place, probe } = await receivesFive(world);
      const a = probe.newest('a');
      a.nack('the first settlement wins', { delayMs: 1 });
      settlesQuietly(() => a.ack());
      await world.until(
        () => timesReceived(probe, 'a') > 1,
        () => 'a was nacked, then acked, and did not come again: the later settlement won.',
      );
      const b = probe.newest('b');
      b.ack();
      settlesQuietly(() => b.ack());
      settlesQuietly(() => b.nack('too late'));
      const repeats = (): number =>
        probe.events.filter((event) => event.type === 'stale-settlement' && event.because === 'repeat').length;
      check(repeats() >= 3, () => `3 settlements were repeats, and telemetry was told of ${repeats()}.`);
      // Credits were not given back twice, nor was anything acked for another.
      if (world.features.committedPositions) await commitsNothingPast(world, place, 0);
      await comesNoMore(world, probe, 'b');
    },
  },
  {
    behaviours: [11],
    title: 'does nothing on a settlement after the close, and tells telemetry of it',
    guarantees: ['I5'],
    run: async (world) => {
      const { place, probe } = await receivesFive(world);
      probe.unsubscribe();
      await world.closes(probe);
      const stale = probe.newest('a');
      settlesQuietly(() => stale.ack());
      settlesQuietly(() => probe.newest('b').nack('too late'));
      const closed = (): number =>
        probe.events.filter((event) => event.type === 'stale-settlement' && event.because === 'closed').length;
      check(closed() >= 2, () => `2 settlements came after the close, and telemetry was told of ${closed()}.`);
      if (world.features.committedPositions) await commitsNothingPast(world, place, 0);
      const next = world.open(place);
      await world.receives(next, ['a', 'b', 'c', 'd', 'e']);
    },
  },
];

async function receivesFive(world: SourceWorld): Promise<{ readonly place: Place; readonly probe: Probe }> {
  const place = await world.place();
  await world.publish(place.topic, messages(['a', 'b', 'c', 'd', 'e'], { partition: 0 }));
  const probe = world.open(place);
  await world.receives(probe, ['a', 'b', 'c', 'd', 'e']);
  return { place, probe };
}

async function commitsNothingPast(world: SourceWorld, place: Place, most: number): Promise<void> {
  let found: number | null = null;
  await world.stays(
    async () => {
      found = (await world.committed(place))[0] ?? null;
      return (found ?? 0) <= most;
    },
    () => `Message ${most} of the partition is unsettled, and ${found} is committed: the commit passed it.`,
  );
}

async function comesNoMore(world: SourceWorld, probe: Probe, text: string): Promise<void> {
  const times = timesReceived(probe, text);
  await world.stays(
    () => timesReceived(probe, text) === times,
    () => `${text} was acked and came again.`,
  );
}

function timesReceived(probe: Probe, text: string): number {
  return probe.texts.filter((each) => each === text).length;
}

function settlesQuietly(settle: () => void): void {
  try {
    settle();
  } catch (error) {
    throw new Error('A settlement threw; it must never.', { cause: error });
  }
}
