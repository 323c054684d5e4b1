import Table from 'cli-table3';
import { median, spreadOf } from './median.js';
import { nameOf, newTopic, onPubSub, type PubSubBed, type Situation } from './pubsub-bed.js';
import {
  servesPubSub,
  startPubSubContender,
  type BareSettings,
  type PubSubReader,
  type Taken,
} from './pubsub-contender.js';
import { bareSettings, takeRounds } from './pubsub-rounds.js';

// `fromPubSub` beside the bare client with its best settings for the same bound (bench/pubsub-settings.ts), each in a process of
// its own, with a subscription of its own of one topic; then a handler that never ends over a backlog.

const ROUNDS = Number(process.env['ROUNDS'] ?? 7);
const BEDS = (process.env['BEDS'] ?? 'fake,emulator').split(',') as PubSubBed[];
const ONLY = process.env['ONLY'];
const BACKLOG = 100_000;

const READERS: readonly PubSubReader[] = ['bare', 'streaming', 'few', 'ahead', 'pull'];
const NAMES: Readonly<Record<PubSubReader, string>> = {
  bare: 'bare client',
  streaming: 'fromPubSub',
  few: 'fromPubSub, maxStreams: 2',
  ahead: 'fromPubSub, reads as far ahead as the bare client',
  pull: "fromPubSub, mode 'pull'",
};

const SITUATIONS: readonly (Situation & { readonly bar: number; readonly settings: BareSettings })[] = [
  { bound: 1_000, work: 'sync', messages: 60_000, bar: 0.95, settings: bareSettings(5) },
  { bound: 1_000, work: 'async', messages: 60_000, bar: 0.95, settings: bareSettings(5) },
  { bound: 10, work: 'sync', messages: 4_000, bar: 1, settings: bareSettings(1) },
  { bound: 10, work: 'async', messages: 4_000, bar: 1, settings: bareSettings(1) },
];

if (!servesPubSub()) void main();

async function main(): Promise<void> {
  for (const bed of BEDS) {
    await onPubSub(bed, async (client) => {
      for (const situation of SITUATIONS) {
        const name = nameOf(situation);
        if (ONLY !== undefined && !name.includes(ONLY)) continue;
        const table = new Table({
          head: [
            `${bed}, messages of 1 KB`,
            'reader',
            'messages/s',
            'CPU s a million',
            '÷ bare',
            'most at once',
            'bar',
          ],
        });
        const { bar, messages } = situation;
        const sides = READERS.map((reader) => ({ ...situation, bed, endpoint: client.endpoint, reader }));
        const rounds = await takeRounds(client, ROUNDS, messages, sides);
        READERS.forEach((reader, at) => {
          const mine = rounds.map((taken) => taken[at] as Taken);
          const ratios = rounds.map((taken) => (taken[0] as Taken).seconds / (taken[at] as Taken).seconds);
          const ratio = median(ratios);
          table.push([
            name,
            NAMES[reader],
            Math.round(messages / median(mine.map(({ seconds }) => seconds))).toLocaleString('en'),
            ((median(mine.map(({ cpuSeconds }) => cpuSeconds)) * 1e6) / messages).toFixed(0),
            reader === 'bare' ? '' : spreadOf(ratios),
            Math.max(...mine.map(({ peak }) => peak)),
            reader === 'bare' || reader === 'pull' ? '' : `${bar} ${ratio >= bar ? 'met' : 'NOT MET'}`,
          ]);
        });
        console.log(table.toString());
      }
      if (ONLY === undefined || ONLY === 'stalled') await stalled(bed, client);
    });
  }
}

async function stalled(bed: PubSubBed, client: Parameters<Parameters<typeof onPubSub>[1]>[0]): Promise<void> {
  const table = new Table({
    head: [
      `${bed}, backlog of ${BACKLOG.toLocaleString('en')}, stalled handler`,
      'bound',
      'RSS MB',
      'grown MB',
      'handed out',
    ],
  });
  const { subscriptions, fill, drop } = await newTopic(client, READERS.length);
  await fill(BACKLOG);
  for (const [at, reader] of READERS.entries()) {
    const contender = startPubSubContender();
    const { rssMb, grownMb, given } = await contender.stall({
      bed,
      endpoint: client.endpoint,
      subscription: subscriptions[at] as string,
      reader,
      settings: bareSettings(5),
      bound: 1_000,
      work: 'never',
      messages: BACKLOG,
    });
    await contender.end();
    table.push([NAMES[reader], 1_000, rssMb.toFixed(0), grownMb.toFixed(0), given.toLocaleString('en')]);
  }
  await drop();
  console.log(table.toString());
}
