import { check, list } from '../check.js';
import { names } from '../numbered.js';
import { textOf } from '../raw.js';
import type { SourceCase } from '../source-case.js';
import type { Place, SourceWorld } from '../source-world.js';

const KEYS = names(20, 'key-');
const CHANGES = ['split', 'split', 'merge', 'split', 'merge'] as const;

/** 22: partitions that are split and merged. @internal */
export const reshardCases: readonly SourceCase[] = [
  {
    behaviours: [22],
    title: 'reads what a partition was split or merged into, after it, and loses nothing',
    guarantees: ['I2'],
    needs: ['reshard', 'keys', 'keyOrder'],
    run: async (world) => {
      const { reshard } = world.bed;
      if (reshard === undefined) throw new Error('reshard is on, but there is no reshard().');
      const place = await world.place();
      const probe = world.open(place);
      let sent = await publishOfEachKey(world, place, 0);
      await world.receives(probe, sent);
      for (const [index, change] of CHANGES.entries()) {
        await reshard(place.topic, change);
        const later = await publishOfEachKey(world, place, index + 1);
        const early = (): string[] => later.filter((text) => probe.texts.includes(text));
        await world.stays(
          () => early().length === 0,
          () =>
            `Nothing of what came before the ${change} is settled, and of what came after it came: ${list(early())}.`,
        );
        probe.ackAll();
        await world.receives(probe, later);
        sent = [...sent, ...later];
      }
      probe.ackAll();
      checkOrder(probe.texts);
      probe.stop();
      await world.closes(probe);
      const late = await publishOfEachKey(world, place, CHANGES.length + 1);
      const next = world.open(place);
      await world.receives(next, late);
      const again = next.texts.filter((text) => sent.includes(text));
      check(again.length === 0, () => `Acked before a clean stop, and received again: ${list(again)}.`);
    },
  },
];

/** Three messages of each key: `key-7/2.0`, `key-7/2.1` and `key-7/2.2` in turn 2. */
async function publishOfEachKey(world: SourceWorld, { topic }: Place, turn: number): Promise<string[]> {
  const sent = names(3, `${turn}.`).flatMap((number) => KEYS.map((key) => ({ key, value: `${key}/${number}` })));
  await world.publish(topic, sent);
  return sent.map(({ value }) => textOf(value));
}

function checkOrder(came: readonly string[]): void {
  for (const key of KEYS) {
    const ofKey = came.filter((text) => text.startsWith(`${key}/`));
    check(new Set(ofKey).size === ofKey.length, () => `Nothing was nacked, and some came again: ${list(ofKey)}.`);
    check(
      ofKey.every((text, index) => index === 0 || text > (ofKey[index - 1] ?? '')),
      () => `The messages of ${key} came out of their order: ${list(ofKey)}.`,
    );
  }
}
