import { filter, map } from 'rxjs';
import type { KinesisPosition } from '../../lib/brokers/kinesis/kinesis-record.js';
import type { SourceDriver } from '../../lib/testing.js';
import { fakeService } from '../conformance/kinesis-services.js';
import { kinesisSourceDriver } from '../conformance/kinesis-source-driver.js';
import { MUTANT_TIMINGS, type Mutant } from './mutant.js';
import { acksEarly, givesTwice, type Change } from './broken-source.js';

const sound = kinesisSourceDriver({
  service: fakeService,
  pollMs: 5,
  // What a partition became is found by a few calls, once a checkpoint says that it is done.
  timings: { ...MUTANT_TIMINGS, withinMs: 2_000, quietMs: 200 },
});

/** The fake Kinesis, whose shards can be split, with a defect between it and the suite. */
function broken(change: Change): SourceDriver {
  return {
    ...sound,
    open: async () => {
      const bed = await sound.open();
      return { ...bed, source: (request) => change(bed, request) };
    },
  };
}

const knowsTheFirstShardAlone: Change = (bed, request) =>
  bed.source(request).pipe(
    map((delivery) => {
      const isKnown = (delivery.position as KinesisPosition).shard.endsWith('000');
      if (!isKnown) delivery.ack();
      return isKnown ? delivery : null;
    }),
    filter((delivery) => delivery !== null),
  );

const CASE = '22 reads what a partition was split or merged into';

export const reshardMutants: readonly Mutant<SourceDriver>[] = [
  {
    name: 'reads the partitions that there were at its start, and no others',
    driver: broken(knowsTheFirstShardAlone),
    caughtBy: CASE,
    seen: /^60 of 60 were not received: key-0\/1\.0/,
  },
  {
    name: 'reads what a partition became before it is done',
    driver: broken(acksEarly),
    caughtBy: CASE,
    seen: /^Nothing of what came before the split is settled, and of what came after it came: key-\d+\/1\.\d/,
  },
  {
    name: 'gives messages twice on the way',
    driver: broken(givesTwice(0)),
    caughtBy: CASE,
    seen: /^Nothing was nacked, and some came again: key-0\/0\.0, .*key-0\/0\.0/,
  },
];
