import { isSluiceError } from '../../core/errors.js';
import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import { nothingLeft, surplus } from '../open-handles.js';
import { errorText } from '../probe.js';
import type { PublisherCase, PublisherWorld } from '../publisher-world.js';
import { textOf } from '../raw.js';
import { pause } from '../wait.js';

/** 1, 16 to 19 and 35: a publisher's connection. @internal */
export const connectionCases: readonly PublisherCase[] = [
  {
    behaviours: [1],
    title: 'opens nothing before somebody connects',
    needs: ['openHandles'],
    run: async (world) => {
      const topic = await world.topic();
      const before = await world.openHandles();
      void world.bed.publisher(topic).connect();
      await pause(world.timings.quietMs);
      const opened = surplus(before, await world.openHandles());
      check(opened.length === 0, () => `Nobody subscribed, and these were opened: ${list(opened)}.`);
    },
  },
  {
    behaviours: [1],
    title: 'emits one connection that stays open, and is shared until the last lets go',
    run: async (world) => {
      const topic = await world.topic();
      const publisher = world.bed.publisher(topic);
      const [first, second] = [world.hold(publisher.connect()), world.hold(publisher.connect())];
      await world.until(
        () => first.state !== 'connecting' && second.state !== 'connecting',
        () => `Of two who connect, one is ${first.state} and the other ${second.state}.`,
      );
      await pause(world.timings.quietMs);
      for (const { state, connections, error } of [first, second]) {
        check(
          state === 'open' && connections === 1,
          () =>
            `It is to emit one connection and stay open; it is ${state} after ${connections}. ${errorText(error ?? '')}`,
        );
      }
      first.release();
      const { connection } = second;
      if (connection === null) throw new Error('There is no connection.');
      const [outcome] = await world.publish(connection, [{ value: 'after the first let go', key: 'key' }]);
      check(outcome?.status === 'ok', () => `One of two let go, and the other's publish is ${outcome?.status}.`);
      second.release();
      const again = await world.connect(topic);
      const [late] = await world.publish(again.connection, [{ value: 'connected again', key: 'key' }]);
      check(late?.status === 'ok', () => `Connected again after all had let go, a publish is ${late?.status}.`);
      await world.stored(topic, 2);
    },
  },
  {
    behaviours: [16],
    title: 'stores what it was given before the last let go, and answers for it',
    guarantees: ['I6'],
    run: async (world) => {
      const topic = await world.topic();
      const { holder, connection } = await world.connect(topic);
      const calls = [0, 1, 2, 3].map((call) => world.publish(connection, messages(names(250, `${call}-`))));
      holder.release();
      const outcomes = (await Promise.all(calls)).flat();
      const failed = outcomes.filter(({ status }) => status !== 'ok');
      check(
        outcomes.length === 1_000 && failed.length === 0,
        () =>
          `Of 1000 given before the close ${outcomes.length} were answered, ${failed.length} of them as not stored.`,
      );
      const found = new Set((await world.stored(topic, 1_000)).map(({ value }) => textOf(value)));
      check(found.size === 1_000, () => `All 1000 were answered with ok, and ${found.size} are stored.`);
    },
  },
  {
    behaviours: [18],
    title: 'can be let go of at once and while it connects',
    run: async (world) => {
      const topic = await world.topic();
      for (const afterMs of [-1, 0, 1, 10]) {
        const holder = world.hold(world.bed.publisher(topic).connect());
        if (afterMs >= 0) await pause(afterMs);
        holder.release();
        check(holder.state === 'released', () => `Let go of after ${Math.max(0, afterMs)} ms, it is ${holder.state}.`);
      }
      await worksStill(world, topic);
    },
  },
  {
    behaviours: [19],
    title: 'can be let go of twice',
    run: async (world) => {
      const topic = await world.topic();
      const { holder } = await world.connect(topic);
      holder.release();
      holder.release();
      await worksStill(world, topic);
    },
  },
  {
    behaviours: [26],
    title: 'refuses a topic that does not exist, typed, and does not make it',
    guarantees: ['I7'],
    needs: ['unknownTopics'],
    run: async (world) => {
      const topic = await world.topic();
      const holder = world.hold(world.bed.publisher(`${topic}-that-is-not`).connect());
      await world.until(
        () => holder.state !== 'connecting',
        () => 'connect() neither emitted nor failed.',
      );
      let error = holder.error;
      if (holder.connection !== null) {
        const [outcome] = await world.publish(holder.connection, [{ value: 'lost?', key: 'key' }]);
        check(outcome?.status === 'permanent', () => `A message to a topic that does not exist is ${outcome?.status}.`);
        error = outcome !== undefined && 'error' in outcome ? outcome.error : null;
      }
      check(
        isSluiceError(error) && error.code === 'unknown-topic',
        () => `It must be refused with unknown-topic, and was with: ${errorText(error)}`,
      );
    },
  },
  {
    behaviours: [35],
    title: 'leaves no timer and no socket when the last lets go',
    guarantees: ['I8'],
    needs: ['openHandles'],
    run: async (world) => {
      const topic = await world.topic();
      await world.bed.read(topic); // so that the driver's own client is open
      const before = await world.openHandles();
      const { holder, connection } = await world.connect(topic);
      await world.publish(connection, messages(names(10)));
      holder.release();
      await nothingLeft(world.timings.withinMs, before, () => world.openHandles());
    },
  },
];

async function worksStill(world: PublisherWorld, topic: string): Promise<void> {
  const { connection } = await world.connect(topic);
  const [outcome] = await world.publish(connection, [{ value: 'still', key: 'key' }]);
  check(outcome?.status === 'ok', () => `Afterwards a publish is ${outcome?.status}.`);
  await world.stored(topic, 1);
}
