import type { Message } from '../../core/message.js';
import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import { headersDiffer, sameBytes, show } from '../raw.js';
import type { SourceCase } from '../source-case.js';
import type { SourceWorld } from '../source-world.js';

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);
const LARGE = Uint8Array.from({ length: 256 * 1024 }, (_, index) => (index * 31) % 251);

/** 2 and 33: what was published is what comes. @internal */
export const keptCases: readonly SourceCase[] = [
  {
    behaviours: [2],
    title: 'keeps binary values of 256 bytes and of 256 KiB',
    run: (world) => comesAsSent(world, [{ value: ALL_BYTES }, { value: LARGE }]),
  },
  {
    behaviours: [2],
    title: 'keeps empty values',
    needs: ['emptyValues'],
    run: (world) => comesAsSent(world, [{ value: new Uint8Array(0) }, { value: 'after it' }]),
  },
  {
    behaviours: [2],
    title: 'keeps tombstones: null is not empty',
    needs: ['tombstones', 'keys'],
    run: (world) => comesAsSent(world, [{ value: null }, { value: 'after it' }]),
  },
  {
    behaviours: [2],
    title: 'keeps keys of text',
    needs: ['keys'],
    run: (world) =>
      comesAsSent(world, [
        { value: 'a', key: 'key' },
        { value: 'b', key: 'schlüssel-鍵' },
      ]),
  },
  {
    behaviours: [2],
    title: 'keeps keys of any bytes',
    needs: ['keys', 'binaryKeys'],
    run: (world) =>
      comesAsSent(world, [
        { value: 'a', key: ALL_BYTES },
        { value: 'b', key: Uint8Array.of(255, 0) },
      ]),
  },
  {
    behaviours: [2],
    title: 'keeps the want of a key',
    needs: ['keylessMessages'],
    run: (world) =>
      comesAsSent(world, [
        { value: 'a', key: null },
        { value: 'b', key: null },
      ]),
  },
  {
    behaviours: [2, 33],
    title: 'keeps headers, the trace context among them',
    needs: ['headers'],
    run: (world) =>
      comesAsSent(world, [
        { value: 'a', headers: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', empty: '' } },
        { value: 'b', headers: { tracestate: 'vendor=1,other=2', 'X-Mixed-Case': 'ü' } },
      ]),
  },
  {
    behaviours: [2],
    title: 'keeps headers of any bytes',
    needs: ['headers', 'binaryHeaders'],
    run: (world) => comesAsSent(world, [{ value: 'a', headers: { raw: ALL_BYTES } }]),
  },
  {
    behaviours: [2],
    title: 'keeps repeated headers, in their order',
    needs: ['headers', 'repeatedHeaders'],
    run: (world) => comesAsSent(world, [{ value: 'a', headers: { twice: ['first', 'second'], once: 'only' } }]),
  },
  {
    behaviours: [2],
    title: 'keeps time-stamps',
    needs: ['timestamps'],
    run: async (world) => {
      const now = Date.now();
      await comesAsSent(world, [
        { value: 'a', timestamp: now - 86_400_000 },
        { value: 'b', timestamp: now - 1 },
      ]);
    },
  },
  {
    behaviours: [2],
    title: 'gives each message an id of its own, a time-stamp, and 1 as its first attempt',
    run: async (world) => {
      const place = await world.place(world.features.partitions ? 2 : 1);
      await world.publish(place.topic, messages(names(30)));
      const probe = world.open(place);
      await world.receives(probe, names(30));
      const ids = new Set(probe.deliveries.map(({ id }) => id));
      check(ids.size === 30, () => `30 messages have ${ids.size} ids: ${list([...ids])}.`);
      for (const { id, timestamp, attempt } of probe.deliveries) {
        check(Math.abs(Date.now() - timestamp) < 3_600_000, () => `${id} is stamped ${timestamp}, not about now.`);
        check(!world.features.attempts || attempt === 1, () => `${id} comes for the first time as attempt ${attempt}.`);
      }
    },
  },
];

async function comesAsSent(world: SourceWorld, sent: readonly Message[]): Promise<void> {
  const place = await world.place();
  const keyed = sent.map((message) => ({ key: 'key', ...message }));
  await world.publish(place.topic, keyed);
  const probe = world.open(place);
  await world.until(
    () => probe.deliveries.length >= sent.length,
    () => `${sent.length} were published, ${probe.deliveries.length} came.`,
  );
  const came = [...probe.deliveries];
  for (const { value, key, headers = {}, timestamp } of keyed) {
    // Not by position: a queue keeps no order.
    const index = came.findIndex((delivery) => sameBytes(delivery.value, value));
    const [delivery] = index < 0 ? [] : came.splice(index, 1);
    if (delivery === undefined) {
      throw new Error(`${show(value)} was published; what came is ${list(came.map((each) => show(each.value)))}.`);
    }
    check(
      !world.features.keys || sameBytes(delivery.key, key),
      () => `The key ${show(key)} came as ${show(delivery.key)}.`,
    );
    const difference = headersDiffer(headers, delivery.headers);
    check(difference === null, () => `Of ${show(value)}, ${difference}.`);
    check(
      timestamp === undefined || delivery.timestamp === timestamp,
      () => `The time-stamp ${timestamp} came as ${delivery.timestamp}.`,
    );
  }
}
