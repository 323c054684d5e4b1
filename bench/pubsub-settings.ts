import Table from 'cli-table3';
import { median } from './median.js';
import { nameOf, newTopic, onPubSub, type PubSubBed, type Situation } from './pubsub-bed.js';
import { servesPubSub, startPubSubContender, type BareSettings, type Taken } from './pubsub-contender.js';

// Which settings of the bare client are the best for a bound: those of bench/pubsub.ts are from here.

const ROUNDS = Number(process.env['ROUNDS'] ?? 3);
const BEDS = (process.env['BEDS'] ?? 'fake,emulator').split(',') as PubSubBed[];
const ONLY = process.env['ONLY'];

const SITUATIONS: readonly Situation[] = [
  { bound: 1_000, work: 'sync', messages: 10_000 },
  { bound: 1_000, work: 'async', messages: 10_000 },
  { bound: 10, work: 'sync', messages: 2_000 },
  { bound: 10, work: 'async', messages: 2_000 },
];

function candidates({ bound }: Situation): BareSettings[] {
  const settings: BareSettings[] = [];
  // Five streams with the excess allowed are five times the bound, where the service keeps it, and more where it does not.
  for (const [allowExcessMessages, maxStreams] of [
    [true, 1],
    [false, 1],
    [false, 5],
  ] as const) {
    for (const maxMilliseconds of [0, 1, 5, 10, 100]) {
      // The default is known to give some 95 a second there, which would take most of the run.
      if (bound < 100 && maxMilliseconds === 100) continue;
      settings.push({ allowExcessMessages, streamingOptions: { maxStreams }, batching: { maxMilliseconds } });
    }
    // Sent by their number, without a wait for the timer.
    const batching = { maxMessages: bound, maxMilliseconds: 1 };
    settings.push({ allowExcessMessages, streamingOptions: { maxStreams }, batching });
  }
  return settings;
}

function textOf({ allowExcessMessages, streamingOptions, batching }: BareSettings): string {
  const { maxMilliseconds, maxMessages } = batching;
  const most = maxMessages === undefined ? '' : ` or ${maxMessages}`;
  return `${streamingOptions.maxStreams} streams, acks each ${maxMilliseconds} ms${most}, ${allowExcessMessages ? 'excess allowed' : 'no excess'}`;
}

if (!servesPubSub()) void main();

async function main(): Promise<void> {
  for (const bed of BEDS) {
    await onPubSub(bed, async (client) => {
      for (const situation of SITUATIONS) {
        const name = nameOf(situation);
        if (ONLY !== undefined && !name.includes(ONLY)) continue;
        const table = new Table({ head: [`${bed}: ${name}`, 'messages/s', 'CPU s a million', 'most at once'] });
        const rows: { readonly text: string; readonly rate: number; readonly cpu: number; readonly peak: number }[] =
          [];
        for (const settings of candidates(situation)) {
          const { subscriptions, fill, drop } = await newTopic(client, 1);
          const [subscription = ''] = subscriptions;
          const contender = startPubSubContender();
          const taken: Taken[] = [];
          for (let round = -1; round < ROUNDS; round++) {
            await fill(situation.messages);
            const { endpoint } = client;
            const task = { ...situation, bed, endpoint, subscription, reader: 'bare' as const, settings };
            const one = await contender.consume(task);
            if (round >= 0) taken.push(one);
          }
          await contender.end();
          await drop();
          rows.push({
            text: textOf(settings),
            rate: median(taken.map(({ seconds }) => situation.messages / seconds)),
            cpu: median(taken.map(({ cpuSeconds }) => (cpuSeconds * 1e6) / situation.messages)),
            peak: Math.max(...taken.map(({ peak }) => peak)),
          });
        }
        rows.sort((left, right) => right.rate - left.rate);
        for (const { text, rate, cpu, peak } of rows) {
          const over = peak > situation.bound ? ' (over the bound)' : '';
          table.push([text, Math.round(rate).toLocaleString('en'), cpu.toFixed(0), `${peak}${over}`]);
        }
        console.log(table.toString());
      }
    });
  }
}
