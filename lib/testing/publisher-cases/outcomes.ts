import { isError } from '../../core/is-error.js';
import type { PublishOutcome } from '../../core/publisher.js';
import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import type { PublisherCase, PublisherWorld } from '../publisher-world.js';
import { textOf } from '../raw.js';

/** 2 and 26: what a publish is answered with. @internal */
export const outcomeCases: readonly PublisherCase[] = [
  {
    behaviours: [2],
    title: 'answers with one outcome a message, in their order, and with nothing for nothing',
    run: async (world) => {
      const topic = await world.topic();
      const { connection } = await world.connect(topic);
      const none = await world.publish(connection, []);
      check(none.length === 0, () => `No message was published, and the outcomes are ${statuses(none)}.`);
      const outcomes = await world.publish(connection, messages(names(20)));
      check(
        outcomes.length === 20 && outcomes.every(({ status }) => status === 'ok'),
        () => `20 messages were published, and the outcomes are ${statuses(outcomes)}.`,
      );
      const found = await world.stored(topic, 20);
      check(found.length === 20, () => `20 messages were published, and ${found.length} are stored.`);
    },
  },
  {
    behaviours: [26],
    title: 'refuses a message that is too large by itself, as permanent, and stores the others',
    guarantees: ['I6'],
    needs: ['maxMessageBytes'],
    run: async (world) => {
      const { maxMessageBytes } = world.bed;
      if (maxMessageBytes === undefined)
        throw new Error('maxMessageBytes is on, and the test bed does not say how many.');
      await refusesTheSecond(world, await world.topic(), {
        value: new Uint8Array(maxMessageBytes + 1_024),
        key: 'key',
      });
    },
  },
  {
    behaviours: [26],
    title: 'refuses a partition that does not exist by itself, as permanent, and stores the others',
    guarantees: ['I6'],
    needs: ['partitions'],
    run: async (world) =>
      refusesTheSecond(world, await world.topic(2), { value: 'to nowhere', key: 'key', partition: 7 }),
  },
];

async function refusesTheSecond(
  world: PublisherWorld,
  topic: string,
  bad: { readonly value: Uint8Array | string; readonly key: string; readonly partition?: number },
): Promise<void> {
  const { connection } = await world.connect(topic);
  const outcomes = await world.publish(connection, [
    { value: 'before', key: 'key' },
    bad,
    { value: 'after', key: 'key' },
  ]);
  check(
    outcomes.map(({ status }) => status).join() === 'ok,permanent,ok',
    () => `The second of three is to be refused, and the outcomes are ${statuses(outcomes)}.`,
  );
  const [, refusal] = outcomes;
  check(
    refusal !== undefined && 'error' in refusal && isError(refusal.error),
    () => 'A refused message is answered without the error.',
  );
  const found = (await world.stored(topic, 2)).map(({ value }) => textOf(value));
  check([...found].sort().join() === 'after,before', () => `Stored are ${list(found)}, not before and after.`);
}

function statuses(outcomes: readonly PublishOutcome[]): string {
  return list(outcomes.map(({ status }) => status));
}
