import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import { pause } from '../wait.js';
import type { SourceCase } from '../source-case.js';

/** 13 and 14: what is out is bounded, and stays ours. @internal */
export const boundCases: readonly SourceCase[] = [
  {
    behaviours: [13],
    title: 'has maxInFlight deliveries out and no more, then goes on as they are settled',
    guarantees: ['I3'],
    run: async (world) => {
      const place = await world.place(world.features.partitions ? 2 : 1);
      await world.publish(place.topic, messages(names(50)));
      const probe = world.open({ ...place, maxInFlight: 10 });
      const out = async (count: number): Promise<void> => {
        await world.until(
          () => probe.deliveries.length >= count,
          () =>
            `${probe.deliveries.length} came, and ${count} were to come at maxInFlight 10 (so many are settled or out).`,
        );
        await world.stays(
          () => probe.deliveries.length === count,
          () => `${probe.deliveries.length - (count - 10)} are out at maxInFlight 10.`,
        );
      };
      await out(10);
      for (const delivery of probe.deliveries.slice(0, 3)) delivery.ack();
      await out(13);
      await world.until(
        () => {
          probe.ackAll();
          return new Set(probe.texts).size === 50;
        },
        () => `It was full once, and stopped after ${new Set(probe.texts).size} of 50 although all were acked.`,
      );
    },
  },
  {
    behaviours: [13],
    title: 'counts what is nacked and waits as out',
    guarantees: ['I3'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(20)));
      const probe = world.open({ ...place, maxInFlight: 5 });
      await world.until(
        () => probe.deliveries.length >= 5,
        () => `${probe.deliveries.length} of 5 came.`,
      );
      const delayMs = 4 * world.timings.quietMs;
      for (const delivery of [...probe.deliveries]) delivery.nack('later', { delayMs });
      await world.stays(
        () => probe.deliveries.length === 5,
        () => `5 wait for a retry at maxInFlight 5, and more came: ${list(probe.texts.slice(5))}.`,
      );
    },
  },
  {
    behaviours: [13],
    title: 'runs no further than maxSpan ahead of the oldest unsettled message',
    guarantees: ['I9'],
    needs: ['committedPositions'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(30), { partition: 0 }));
      const probe = world.open({ ...place, maxInFlight: 4, maxSpan: 8 });
      const ackOthers = (): void => probe.ack(...probe.texts.filter((text) => text !== 'm0'));
      await world.until(
        () => {
          ackOthers();
          return probe.deliveries.length >= 8;
        },
        () => `${probe.deliveries.length} came, and 8 were to come at maxSpan 8.`,
      );
      await world.stays(
        () => {
          ackOthers();
          return probe.deliveries.length === 8;
        },
        () => `m0 is unsettled, and at maxSpan 8 so many came: ${probe.deliveries.length}.`,
      );
      probe.ack('m0');
      await world.until(
        () => {
          probe.ackAll();
          return probe.deliveries.length === 30;
        },
        () => `It was held by maxSpan, and stopped after ${probe.deliveries.length} of 30 although all were acked.`,
      );
    },
  },
  {
    behaviours: [14],
    title: 'keeps what it owns while it is stalled for longer than a lease',
    guarantees: ['I3'],
    needs: ['leases'],
    run: async (world) => {
      const { leaseMs } = world.timings;
      check(leaseMs > 0, () => 'leases is on, and the timings name no leaseMs.');
      const place = await world.place();
      await world.publish(place.topic, messages(names(20), { partition: 0 }));
      const probe = world.open({ ...place, maxInFlight: 5 });
      await world.until(
        () => probe.deliveries.length >= 5,
        () => `${probe.deliveries.length} of 5 came.`,
      );
      await pause(1.5 * leaseMs);
      check(
        probe.events.every(({ type }) => type !== 'revoked'),
        () => `It was stalled for ${1.5 * leaseMs} ms, and its partition was taken away.`,
      );
      await world.until(
        () => {
          probe.ackAll();
          return new Set(probe.texts).size === 20;
        },
        () => `It was stalled for ${1.5 * leaseMs} ms, and stopped after ${list([...new Set(probe.texts)])}.`,
      );
      probe.ackAll();
      check(probe.deliveries.length === 20, () => `20 were published, and ${probe.deliveries.length} came.`);
      if (world.features.committedPositions) await world.commits(place, [20]);
    },
  },
];
