import { bufferTime, tap } from 'rxjs';
import { ackEach } from '../../operators/ack-each.js';
import { handle } from '../../operators/handle.js';
import { check, list } from '../check.js';
import { messages, names } from '../numbered.js';
import type { Probe } from '../probe.js';
import { textOf } from '../raw.js';
import type { SourceCase } from '../source-case.js';
import type { Place, SourceWorld } from '../source-world.js';
import { pause } from '../wait.js';

const PARTITIONS = 4;

/** 12, 20 and 21: partitions that move, and a broker that goes. @internal */
export const moveCases: readonly SourceCase[] = [
  {
    behaviours: [12],
    title: 'ignores an ack for what another member owns by now',
    guarantees: ['I4', 'I5'],
    needs: ['rebalance', 'partitions'],
    run: async (world) => {
      const place = await world.place(PARTITIONS);
      const all = await publishToEach(world, place, 3);
      const first = world.open(place);
      await world.receives(first, all);
      const second = world.open(place);
      await world.until(
        () => second.deliveries.length > 0,
        () => `A second member joined; after the drain of the first it received nothing (told: ${told(second)}).`,
      );
      const moved = partitionsOf(second);
      // All that was out before the move, for which the first member's drain was cut off.
      const late = first.deliveries.filter(({ value }) => moved.includes(partitionOf(textOf(value))));
      for (const delivery of late) delivery.ack();
      if (world.features.committedPositions) {
        let committed: readonly (number | null)[] = [];
        await world.stays(
          async () => {
            committed = await world.committed(place);
            return moved.every((partition) => (committed[partition] ?? 0) === 0);
          },
          () =>
            `Partitions ${moved.join(', ')} belong to the second member, which acked nothing; late acks of the first moved ` +
            `what is committed to [${committed.join(', ')}].`,
        );
      }
      for (const probe of [first, second]) {
        probe.unsubscribe();
        probe.letGo();
        await world.closes(probe);
      }
      const third = world.open(place);
      await world.receives(
        third,
        all.filter((text) => moved.includes(partitionOf(text))),
      );
    },
  },
  {
    behaviours: [21],
    title: 'loses nothing where a member joins while others have work in flight and half a batch gathered',
    guarantees: ['I2', 'I4'],
    needs: ['rebalance', 'partitions'],
    run: async (world) => {
      const place = await world.place(PARTITIONS);
      const done = new Set<string>();
      const all = await publishToEach(world, place, 10);
      const first = openGathering(world, place, done);
      await world.until(
        () => first.deliveries.length >= 20,
        () => `The first member received ${first.deliveries.length} of ${all.length}.`,
      );
      const second = openGathering(world, place, done);
      await publishUntil(world, place, all, () => second.deliveries.length > 0, 'The second member received nothing');
      const missing = (): string[] => all.filter((text) => !done.has(text));
      await world.until(
        () => missing().length === 0,
        () => `${missing().length} of ${all.length} were never processed: ${list(missing())}.`,
      );
      for (const member of [first, second]) {
        member.stop();
        await world.closes(member);
      }
      if (world.features.committedPositions) {
        await world.commits(place, new Array<number>(PARTITIONS).fill(all.length / PARTITIONS));
      }
    },
  },
  {
    behaviours: [21],
    title: 'repeats nothing where a member joins and leaves and the work ends within drainTimeoutMs',
    guarantees: ['I4'],
    needs: ['rebalance', 'partitions', 'cleanHandover'],
    run: async (world) => {
      const place = await world.place(PARTITIONS);
      const starts = new Map<string, number>();
      const join = (): Probe =>
        world.open({ ...place, drainTimeoutMs: world.timings.withinMs }, (source) =>
          source.pipe(
            handle(
              async (value) => {
                const text = textOf(value);
                starts.set(text, (starts.get(text) ?? 0) + 1);
                await pause(5);
              },
              { concurrency: 8 },
            ),
            ackEach(),
          ),
        );
      const all = await publishToEach(world, place, 25);
      const first = join();
      await world.until(
        () => starts.size >= 10,
        () => `${starts.size} of 10 were started by the first member.`,
      );
      const second = join();
      await publishUntil(world, place, all, () => second.values.length > 0, 'The second member finished nothing');
      first.stop();
      await world.closes(first);
      await world.until(
        () => starts.size === all.length,
        () => `${all.length - starts.size} of ${all.length} were never started.`,
      );
      second.stop();
      await world.closes(second);
      const repeated = [...starts].filter(([, times]) => times > 1).map(([text]) => text);
      check(repeated.length === 0, () => `Every handover was clean, and these were started twice: ${list(repeated)}.`);
    },
  },
  {
    behaviours: [20],
    title: 'goes on after a restart of the broker, and loses nothing',
    guarantees: ['I2', 'I7'],
    needs: ['brokerRestart'],
    run: async (world) => {
      const { restartBroker } = world.bed;
      if (restartBroker === undefined) throw new Error('brokerRestart is on, but there is no restartBroker().');
      const place = await world.place();
      await world.publish(place.topic, messages(names(20, 'before-')));
      const probe = world.open(place, (source) => source.pipe(ackEach()));
      await world.receives(probe, names(20, 'before-').slice(0, 1));
      await restartBroker();
      await world.publish(place.topic, messages(names(20, 'after-')));
      await world.receives(probe, [...names(20, 'before-'), ...names(20, 'after-')]);
    },
  },
];

/** Values name their partition: `2:m7`. */
async function publishToEach(world: SourceWorld, { topic }: Place, count: number, from = 0): Promise<string[]> {
  const all: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const texts = names(from + count, `${partition}:m`).slice(from);
    await world.publish(topic, messages(texts, { partition }));
    all.push(...texts);
  }
  return all;
}

/** Keeps the members busy until a condition holds: a member takes its time to join. */
async function publishUntil(
  world: SourceWorld,
  place: Place,
  all: string[],
  holds: () => boolean,
  otherwise: string,
): Promise<void> {
  await world.until(
    async () => {
      if (holds()) return true;
      all.push(...(await publishToEach(world, place, 5, all.length / PARTITIONS)));
      return false;
    },
    () => `${otherwise} while ${all.length} were published.`,
  );
}

function partitionOf(text: string): number {
  return Number(text.split(':')[0]);
}

function partitionsOf(probe: Probe): number[] {
  return [...new Set(probe.texts.map(partitionOf))];
}

function told(probe: Probe): string {
  return list([...new Set(probe.events.map(({ type }) => type))]);
}

/** Acks in batches of seven, or of what there is after a while: what is taken away meanwhile is not processed. */
function openGathering(world: SourceWorld, place: Place, done: Set<string>): Probe {
  return world.open({ ...place, maxInFlight: 23 }, (source) =>
    source.pipe(
      bufferTime(world.timings.quietMs, null, 7),
      tap((batch) => {
        for (const delivery of batch.filter(({ signal }) => !signal.aborted)) {
          done.add(textOf(delivery.value));
          delivery.ack();
        }
      }),
    ),
  );
}
