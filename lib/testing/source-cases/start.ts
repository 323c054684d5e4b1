import { ackEach } from '../../operators/ack-each.js';
import { isSluiceError } from '../../core/errors.js';
import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import { errorText } from '../probe.js';
import type { SourceCase } from '../source-case.js';
import type { Place, SourceWorld } from '../source-world.js';

/** 6: where a group starts. @internal */
export const startCases: readonly SourceCase[] = [
  {
    behaviours: [6],
    title: 'starts a new group at the oldest message',
    needs: ['startEarliest'],
    run: async (world) => {
      const topic = await world.bed.createTopic({ partitions: 1 });
      await world.publish(topic, messages(names(5)));
      const probe = world.open({ topic, group: await world.bed.createGroup(topic), start: 'earliest' });
      await world.receives(probe, names(5));
    },
  },
  {
    behaviours: [6],
    title: 'starts a new group at the end, and has that position durable before it emits anything',
    guarantees: ['I10'],
    needs: ['startLatest', 'committedPositions'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(names(5, 'old-'), { partition: 0 }));
      const first = world.open({ ...place, start: 'latest' });
      await world.commits(place, [5]);
      first.unsubscribe();
      await world.closes(first);
      // Published while nobody reads: a start position that was not kept would pass them.
      await world.publish(place.topic, messages(names(5, 'new-'), { partition: 0 }));
      const second = world.open({ ...place, start: 'latest' });
      await world.receives(second, names(5, 'new-'));
      const old = [...first.texts, ...second.texts].filter((text) => text.startsWith('old-'));
      check(old.length === 0, () => `It starts at the end, and received what was there before: ${list(old)}.`);
    },
  },
  {
    behaviours: [6],
    title: 'starts a new group at the first message of a time or later',
    needs: ['startTimestamp', 'timestamps'],
    run: async (world) => {
      const place = await world.place();
      const noon = Date.now() - 3_600_000;
      const at = (timestamp: number) => ({ timestamp, partition: 0 });
      await world.publish(place.topic, messages(names(3, 'before-'), at(noon - 1_000)));
      await world.publish(place.topic, messages(['noon'], at(noon)));
      await world.publish(place.topic, messages(names(3, 'after-'), at(noon + 1_000)));
      const probe = world.open({ ...place, start: new Date(noon) });
      await world.receives(probe, ['noon', ...names(3, 'after-')]);
      const early = probe.texts.filter((text) => text.startsWith('before-'));
      check(early.length === 0, () => `It starts at a time, and received what is older: ${list(early)}.`);
    },
  },
  {
    behaviours: [6, 7],
    title: 'goes on where the group stopped, whatever start says',
    run: async (world) => {
      const place = await world.place();
      const start = world.features.startEarliest ? ({ start: 'earliest' } as const) : {};
      await world.publish(place.topic, messages(names(5)));
      const first = world.open({ ...place, ...start }, (source) => source.pipe(ackEach()));
      await world.receives(first, names(5));
      first.stop();
      await world.closes(first);
      await world.publish(place.topic, messages(names(5, 'more-')));
      const second = world.open({ ...place, ...start });
      await world.receives(second, names(5, 'more-'));
      await world.receivesNoMore(second);
      const again = second.texts.filter((text) => !text.startsWith('more-'));
      check(again.length === 0, () => `Acked before a clean stop, and received again: ${list(again)}.`);
    },
  },
  {
    behaviours: [6],
    title: 'ends with position-lost where retention passed the position, and moves nothing',
    guarantees: ['I7', 'I10'],
    needs: ['positionLost', 'committedPositions'],
    run: async (world) => {
      const place = await losesItsPosition(world);
      const probe = world.make(place);
      probe.mayFail = true;
      probe.subscribe();
      await world.until(
        () => probe.state === 'failed',
        () => `The position is gone, and the source is ${probe.state}; received ${list(probe.texts)}.`,
      );
      const { error } = probe;
      check(
        isSluiceError(error) && error.code === 'position-lost',
        () => `It must fail with position-lost, and failed with: ${errorText(error)}`,
      );
      check(probe.deliveries.length === 0, () => `Before the failure it emitted ${list(probe.texts)}.`);
      await world.closes(probe);
      await world.commits(place, [1]);
    },
  },
  {
    behaviours: [6],
    title: "goes on at the oldest message with onPositionLost: 'earliest', and says so",
    guarantees: ['I10'],
    needs: ['positionLost', 'committedPositions'],
    run: async (world) => {
      const place = await losesItsPosition(world);
      const probe = world.open({ ...place, onPositionLost: 'earliest' });
      await world.receives(probe, names(5).slice(2));
      check(
        probe.events.some(({ type }) => type === 'position-lost'),
        () => 'A message was skipped, and telemetry was not told of position-lost.',
      );
    },
  },
];

// m0 is done, m1 is the next, and is gone.
async function losesItsPosition(world: SourceWorld): Promise<Place> {
  const place = await world.place();
  await world.publish(place.topic, messages(names(5), { partition: 0 }));
  const probe = world.open(place);
  await world.receives(probe, names(5));
  probe.ack('m0');
  await world.commits(place, [1]);
  probe.unsubscribe();
  probe.letGo();
  await world.closes(probe);
  if (world.bed.losePosition === undefined) throw new Error('positionLost is on, but there is no losePosition().');
  await world.bed.losePosition(place.group, place.topic);
  return place;
}
