import { ackEach } from '../../operators/ack-each.js';
import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import { surplus } from '../open-handles.js';
import type { SourceCase } from '../source-case.js';

/** 1: cold. @internal */
export const coldCases: readonly SourceCase[] = [
  {
    behaviours: [1],
    title: 'does nothing before it is subscribed',
    run: async (world) => {
      const place = await world.place();
      const handles = await world.openHandles();
      const probe = world.make(place);
      await world.stays(
        () => probe.events.length === 0,
        () => `It was not subscribed, and told of: ${list(probe.events.map(({ type }) => type))}.`,
      );
      const opened = surplus(handles, await world.openHandles());
      check(opened.length === 0, () => `It was not subscribed, and opened: ${list(opened)}.`);
      if (world.features.committedPositions) {
        const committed = await world.committed(place);
        check(
          committed.every((position) => position === null),
          () => `It was not subscribed, and [${committed.join(', ')}] is committed.`,
        );
      }
      await world.publish(place.topic, messages(names(3)));
      probe.subscribe();
      await world.receives(probe, names(3));
    },
  },
  {
    behaviours: [1],
    title: 'gives each subscription a session of its own, which waits for the close of the one before',
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(3)));
      const probe = world.open(place);
      await world.receives(probe, names(3));
      probe.unsubscribe();
      probe.subscribe();
      await world.until(
        () => names(3).every((name) => probe.texts.filter((text) => text === name).length === 2),
        () =>
          `Nothing was acked, so the second subscription must receive m0 to m2 as the first; both: ${list(probe.texts)}.`,
      );
      probe.ackAll();
    },
  },
  {
    behaviours: [1],
    title: "with until: 'end' reads to the end as it stands at subscription, then completes",
    needs: ['until'],
    run: async (world) => {
      const place = await world.place(world.features.partitions ? 2 : 1);
      const probe = world.make({ ...place, until: 'end' }, (source) => source.pipe(ackEach()));
      await world.publish(place.topic, messages(names(20)));
      probe.subscribe();
      await world.until(
        () => probe.state === 'completed',
        () => `It did not complete; received ${probe.texts.length} of 20 (state: ${probe.state}).`,
      );
      check(probe.values.length === 20, () => `It completed with ${probe.values.length} of the 20 that were there.`);
    },
  },
];
