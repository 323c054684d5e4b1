import type { Message } from '../../core/message.js';
import { check, list } from '../check.js';
import { names } from '../numbered.js';
import type { PublisherCase, PublisherWorld } from '../publisher-world.js';
import { headersDiffer, sameBytes, show, textOf } from '../raw.js';

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** 2, 3, 4 and 33: what is published is what is stored. @internal */
export const storedCases: readonly PublisherCase[] = [
  {
    behaviours: [2],
    title: 'stores values as they are: bytes, and text as UTF-8',
    run: (world) => storesAsGiven(world, [{ value: ALL_BYTES }, { value: 'text: ü, 鍵' }]),
  },
  {
    behaviours: [2],
    title: 'stores empty values',
    needs: ['emptyValues'],
    run: (world) => storesAsGiven(world, [{ value: new Uint8Array(0) }, { value: 'after it' }]),
  },
  {
    behaviours: [2],
    title: 'stores tombstones: null is not empty',
    needs: ['tombstones', 'keys'],
    run: (world) => storesAsGiven(world, [{ value: null }, { value: 'after it' }]),
  },
  {
    behaviours: [2],
    title: 'stores keys of any bytes',
    needs: ['keys', 'binaryKeys'],
    run: (world) =>
      storesAsGiven(world, [
        { value: 'a', key: ALL_BYTES },
        { value: 'b', key: 'text' },
      ]),
  },
  {
    behaviours: [2],
    title: 'stores the want of a key',
    needs: ['keylessMessages'],
    run: (world) =>
      storesAsGiven(world, [
        { value: 'a', key: null },
        { value: 'b', key: null },
      ]),
  },
  {
    behaviours: [2, 33],
    title: 'stores headers, the trace context among them',
    needs: ['headers'],
    run: (world) =>
      storesAsGiven(world, [
        { value: 'a', headers: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', empty: '' } },
      ]),
  },
  {
    behaviours: [2],
    title: 'stores headers of any bytes',
    needs: ['headers', 'binaryHeaders'],
    run: (world) => storesAsGiven(world, [{ value: 'a', headers: { raw: ALL_BYTES } }]),
  },
  {
    behaviours: [2],
    title: 'stores repeated headers, in their order',
    needs: ['headers', 'repeatedHeaders'],
    run: (world) =>
      storesAsGiven(world, [{ value: 'a', headers: { twice: ['first', Uint8Array.of(255)], once: 'o' } }]),
  },
  {
    behaviours: [2],
    title: 'stores the time-stamp that a message has',
    needs: ['timestamps'],
    run: (world) => storesAsGiven(world, [{ value: 'a', timestamp: Date.now() - 86_400_000 }]),
  },
  {
    behaviours: [3],
    title: 'keeps the order of a key, within a call and over calls that are not waited for',
    needs: ['keys', 'keyOrder'],
    run: async (world) => {
      const topic = await world.topic(world.features.partitions ? 4 : 1);
      const { connection } = await world.connect(topic);
      const keys = names(7, 'key-');
      const sent = names(50).flatMap((turn) => keys.map((key) => ({ key, value: `${key}/${turn}` })));
      const calls: Promise<unknown>[] = [];
      for (let from = 0; from < sent.length; from += 25) {
        calls.push(world.publish(connection, sent.slice(from, from + 25)));
      }
      await Promise.all(calls);
      const found = await world.stored(topic, sent.length);
      for (const key of keys) {
        const ofKey = found.filter((message) => textOf(message.value).startsWith(`${key}/`));
        const partitions = new Set(ofKey.map(({ partition }) => partition));
        check(partitions.size === 1, () => `${key} is in partitions ${[...partitions].join(', ')}: its order is lost.`);
        const came = ofKey.map(({ value }) => textOf(value));
        const wanted = sent.filter((message) => message.key === key).map(({ value }) => value);
        const at = wanted.findIndex((text, index) => came[index] !== text);
        check(at < 0, () => `${wanted[at]} was published at ${at} of its key, and ${came[at]} is stored there.`);
      }
    },
  },
  {
    behaviours: [3],
    title: 'keeps a key in its partition over connections',
    needs: ['keys', 'keyOrder', 'partitions'],
    run: async (world) => {
      const topic = await world.topic(4);
      const keys = names(16, 'key-');
      for (const turn of ['first', 'second']) {
        const { holder, connection } = await world.connect(topic);
        await world.publish(
          connection,
          keys.map((key) => ({ key, value: `${key} ${turn}` })),
        );
        holder.release();
      }
      const found = await world.stored(topic, 2 * keys.length);
      const moved = keys.filter(
        (key) => new Set(found.filter((each) => textOf(each.key) === key).map(({ partition }) => partition)).size > 1,
      );
      check(moved.length === 0, () => `In another partition after a new connection: ${list(moved)}.`);
    },
  },
  {
    behaviours: [3],
    title: 'keeps an explicit partition, also against what the key says',
    needs: ['partitions'],
    run: async (world) => {
      const topic = await world.topic(4);
      const { connection } = await world.connect(topic);
      const sent = [3, 1, 2, 0].map((partition) => ({ value: `for ${partition}`, key: 'one key', partition }));
      await world.publish(connection, sent);
      for (const { partition, value } of await world.stored(topic, 4)) {
        check(textOf(value) === `for ${partition}`, () => `'${textOf(value)}' is in partition ${partition}.`);
      }
    },
  },
  {
    behaviours: [4],
    title: 'keeps topics apart',
    run: async (world) => {
      const [left, right] = [await world.topic(), await world.topic()];
      const [ofLeft, ofRight] = [await world.connect(left), await world.connect(right)];
      await Promise.all([
        world.publish(ofLeft.connection, [{ value: 'left', key: 'key' }]),
        world.publish(ofRight.connection, [{ value: 'right', key: 'key' }]),
      ]);
      for (const [topic, value] of [
        [left, 'left'],
        [right, 'right'],
      ] as const) {
        const found = (await world.stored(topic, 1)).map((message) => textOf(message.value));
        check(found.join() === value, () => `The topic for '${value}' holds ${list(found)}.`);
      }
    },
  },
];

async function storesAsGiven(world: PublisherWorld, given: readonly Message[]): Promise<void> {
  const topic = await world.topic();
  const { connection } = await world.connect(topic);
  const keyed = given.map((message) => ({ ...(world.features.keys ? { key: 'key' } : {}), ...message }));
  const outcomes = await world.publish(connection, keyed);
  check(
    outcomes.length === given.length && outcomes.every(({ status }) => status === 'ok'),
    () => `The outcomes are ${list(outcomes.map(({ status }) => status))}.`,
  );
  const found = [...(await world.stored(topic, given.length))];
  check(found.length === given.length, () => `${given.length} were published, and ${found.length} are stored.`);
  for (const { value, key = null, headers = {}, timestamp } of keyed) {
    const index = found.findIndex((each) => sameBytes(each.value, value));
    const [stored] = index < 0 ? [] : found.splice(index, 1);
    if (stored === undefined)
      throw new Error(`${show(value)} was published; stored: ${list(found.map((each) => show(each.value)))}.`);
    check(
      !world.features.keys || sameBytes(stored.key, key),
      () => `The key ${show(key)} is stored as ${show(stored.key)}.`,
    );
    const difference = headersDiffer(headers, stored.headers);
    check(difference === null, () => `Of ${show(value)}, ${difference}.`);
    check(
      timestamp === undefined || stored.timestamp === timestamp,
      () => `The time-stamp ${timestamp} is stored as ${stored.timestamp}.`,
    );
  }
}
