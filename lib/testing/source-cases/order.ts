import { tap } from 'rxjs';
import { ordered } from '../../operators/ordered.js';
import { ackEach } from '../../operators/ack-each.js';
import type { Message } from '../../core/message.js';
import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import type { RawDelivery } from '../probe.js';
import { textOf } from '../raw.js';
import type { SourceCase } from '../source-case.js';

/** 3, 4, 5 and 15: who gets what, in which order. @internal */
export const orderCases: readonly SourceCase[] = [
  {
    behaviours: [3],
    title: 'keeps the order of a partition, also where a message is nacked in between',
    needs: ['order'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(200), { partition: 0 }));
      let isNacked = false;
      const probe = world.open({ ...place, maxInFlight: 16 }, (source) =>
        source.pipe(
          tap((delivery) => {
            if (isNacked) delivery.ack();
            else delivery.nack('the order of the others must not suffer', { delayMs: world.timings.quietMs });
            isNacked = true;
          }),
        ),
      );
      await world.until(
        () => probe.deliveries.length > 200,
        () => `All were acked but the first, once: ${probe.deliveries.length} of 201 deliveries came.`,
      );
      inOrder([...new Set(probe.texts)], names(200));
    },
  },
  {
    behaviours: [3],
    title: 'keeps the order of a key over several partitions',
    needs: ['keys', 'keyOrder'],
    run: async (world) => {
      const place = await world.place(world.features.partitions ? 4 : 1);
      const keys = names(20, 'key-');
      const sent = names(10).flatMap((turn) => keys.map((key) => ({ key, value: `${key}/${turn}` })));
      for (let from = 0; from < sent.length; from += 40) await world.publish(place.topic, sent.slice(from, from + 40));
      const probe = world.open(place, (source) => source.pipe(ackEach()));
      await world.receives(probe, textsOf(sent));
      for (const key of keys) {
        const ofKey = (text: string): boolean => text.startsWith(`${key}/`);
        inOrder(probe.texts.filter(ofKey), textsOf(sent).filter(ofKey));
      }
    },
  },
  {
    behaviours: [4],
    title: 'keeps topics apart',
    run: async (world) => {
      const [left, right] = [await world.place(), await world.place()];
      await world.publish(left.topic, messages(names(20, 'left-')));
      await world.publish(right.topic, messages(names(20, 'right-')));
      const [ofLeft, ofRight] = [world.open(left), world.open(right)];
      await world.receives(ofLeft, names(20, 'left-'));
      await world.receives(ofRight, names(20, 'right-'));
      const strays = [
        ...ofLeft.texts.filter((text) => !text.startsWith('left-')),
        ...ofRight.texts.filter((text) => !text.startsWith('right-')),
      ];
      check(strays.length === 0, () => `From the other topic came: ${list(strays)}.`);
    },
  },
  {
    behaviours: [5],
    title: 'gives every message to each group, and what one acks to the others all the same',
    needs: ['groups'],
    run: async (world) => {
      const place = await world.place();
      const other = { topic: place.topic, group: await world.bed.createGroup(place.topic) };
      await world.publish(place.topic, messages(names(20)));
      const first = world.open(place, (source) => source.pipe(ackEach()));
      await world.receives(first, names(20));
      const second = world.open(other, (source) => source.pipe(ackEach()));
      await world.receives(second, names(20));
      await world.publish(place.topic, messages(['late']));
      await Promise.all([world.receives(first, ['late']), world.receives(second, ['late'])]);
    },
  },
  {
    behaviours: [15],
    title: 'lets the other keys go on while one is slow, and keeps the order of that one',
    needs: ['keys', 'order'],
    run: async (world) => {
      const place = await world.place();
      const slow = names(5, 'slow-').map((value) => ({ value, key: 'slow' }));
      const others = names(20, 'fast-').map((value, index) => ({ value, key: `key-${index % 4}` }));
      await world.publish(place.topic, [...slow.slice(0, 3), ...others, ...slow.slice(3)]);
      const slowOnes: RawDelivery[] = [];
      const probe = world.open({ ...place, maxInFlight: 100 }, (source) => source.pipe(ordered({ by: 'key' })));
      const fast = new Set<string>();
      const settleFast = (): void => {
        for (const delivery of probe.values.slice(slowOnes.length + fast.size) as RawDelivery[]) {
          if (textOf(delivery.key) === 'slow') slowOnes.push(delivery);
          else {
            fast.add(textOf(delivery.value));
            delivery.ack();
          }
        }
      };
      await world.until(
        () => {
          settleFast();
          return fast.size === others.length;
        },
        () => `One key is held, and of the other keys only ${fast.size} of ${others.length} came: ${list([...fast])}.`,
      );
      const came = (): string[] => slowOnes.map(({ value }) => textOf(value));
      check(slowOnes.length === 1, () => `The slow key must have one message out, and has ${list(came())}.`);
      for (let released = 0; released < slow.length; released++) {
        await world.until(
          () => {
            settleFast();
            return slowOnes.length > released;
          },
          () => `The slow key stopped after ${list(came())}.`,
        );
        slowOnes[released]?.ack();
      }
      inOrder(came(), textsOf(slow));
    },
  },
];

function textsOf(sent: readonly Message[]): string[] {
  return sent.map(({ value }) => textOf(value));
}

function inOrder(came: readonly string[], sent: readonly string[]): void {
  const at = sent.findIndex((text, index) => came[index] !== text);
  check(at < 0, () => `After ${list(sent.slice(Math.max(0, at - 3), at))} came ${came[at]}, not ${sent[at]}.`);
}
