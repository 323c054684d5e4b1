import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import { pause } from '../wait.js';
import type { SourceCase } from '../source-case.js';

/** 16 to 19: how a subscription ends. @internal */
export const endingCases: readonly SourceCase[] = [
  {
    behaviours: [16],
    title: 'drains after an unsubscribe: what is acked within drainTimeoutMs counts, what is not comes again',
    guarantees: ['I2', 'I8'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(['a', 'b', 'c'], { partition: 0 }));
      const probe = world.open(place);
      await world.receives(probe, ['a', 'b', 'c']);
      probe.unsubscribe();
      // Work that was under way ends a little later.
      await pause(world.timings.drainMs / 4);
      check(probe.closes === 0, () => 'It was unsubscribed with three deliveries out, and closed without a drain.');
      probe.ack('a');
      await world.closes(probe);
      const next = world.open(place);
      await world.receives(next, ['b', 'c']);
      check(!next.texts.includes('a'), () => 'a was acked within drainTimeoutMs, and came again.');
    },
  },
  {
    behaviours: [16],
    title: 'on stop gives nothing new, lets what is out settle, commits and completes: nothing comes again',
    guarantees: ['I2', 'I8'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(5), { partition: 0 }));
      const probe = world.open({ ...place, drainTimeoutMs: world.timings.withinMs });
      await world.receives(probe, names(5));
      probe.stop();
      await world.publish(place.topic, messages(names(5, 'late-'), { partition: 0 }));
      await world.stays(
        () => probe.deliveries.length === 5 && probe.state === 'open',
        () => `After stop, with 5 out, it is ${probe.state} and has given: ${list(probe.texts.slice(5))}.`,
      );
      probe.ackAll();
      await world.until(
        () => probe.state === 'completed',
        () => `It was stopped and all is settled, and it is ${probe.state}.`,
      );
      await world.closes(probe);
      const next = world.open(place);
      await world.receives(next, names(5, 'late-'));
      const again = next.texts.filter((text) => !text.startsWith('late-'));
      check(again.length === 0, () => `Settled before the stop was over, and received again: ${list(again)}.`);
    },
  },
  {
    behaviours: [16],
    title: 'reads nothing and completes where stop had fired before it was subscribed',
    guarantees: ['I8'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(5)));
      const probe = world.make(place);
      probe.stop();
      probe.subscribe();
      await world.until(
        () => probe.state === 'completed',
        () => `It was stopped before it was subscribed, and it is ${probe.state}.`,
      );
      await world.closes(probe);
      check(probe.deliveries.length === 0, () => `Stopped before the subscription, it gave: ${list(probe.texts)}.`);
      const next = world.open(place);
      await world.receives(next, names(5));
    },
  },
  {
    behaviours: [17],
    title: 'closes within drainTimeoutMs while it is full and nobody acks',
    guarantees: ['I8'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(20)));
      const probe = world.open({ ...place, maxInFlight: 1 });
      await world.until(
        () => probe.deliveries.length > 0,
        () => 'Nothing was received.',
      );
      probe.unsubscribe();
      await world.closes(probe);
      check(probe.deliveries.length === 1, () => `After the unsubscribe came: ${list(probe.texts.slice(1))}.`);
      const next = world.open(place);
      await world.receives(next, names(20));
    },
  },
  {
    behaviours: [18],
    title: 'closes when it is unsubscribed at once, or while it connects, and loses nothing',
    guarantees: ['I2', 'I8'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(5)));
      for (const afterMs of [-1, 0, 1, 10, 50, 200]) {
        const probe = world.open(place);
        if (afterMs >= 0) await pause(afterMs);
        probe.unsubscribe();
        const received = probe.deliveries.length;
        probe.letGo();
        await world.closes(probe);
        check(
          probe.deliveries.length === received,
          () => `Unsubscribed after ${Math.max(0, afterMs)} ms, it still gave ${list(probe.texts.slice(received))}.`,
        );
      }
      const probe = world.open(place);
      await world.receives(probe, names(5));
    },
  },
  {
    behaviours: [19],
    title: 'closes once, however often and in whichever ways it is ended',
    guarantees: ['I8'],
    run: async (world) => {
      const [place, other] = [await world.place(), await world.place()];
      for (const { topic } of [place, other]) await world.publish(topic, messages(names(5)));
      const probes = [world.open(place), world.open(other)];
      for (const probe of probes) await world.receives(probe, names(5));
      for (const probe of probes) {
        probe.stop();
        probe.unsubscribe();
        probe.unsubscribe();
        probe.stop();
      }
      for (const probe of probes) {
        probe.ackAll();
        await world.closes(probe);
      }
      await world.stays(
        () => probes.every(({ closes }) => closes === 1),
        () => `It reported its close ${probes.map(({ closes }) => closes).join(' and ')} times.`,
      );
    },
  },
];
