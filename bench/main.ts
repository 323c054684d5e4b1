import Table from 'cli-table3';
import { inProcess } from './in-process.js';
import { stalledHandler } from './stalled-handler.js';

void main();

async function main(): Promise<void> {
  const results = await inProcess();
  if (results === null) return;
  const table = new Table({
    head: ['1,000,000 messages, paired rounds', 'ours', 'theirs', 'theirs ÷ ours', 'spread', 'bar'],
  });
  for (const { what, ours, theirs, ratio, spread, bar } of results) {
    table.push([
      what,
      ours,
      theirs,
      ratio.toFixed(2),
      spread,
      bar === 0 ? '-' : `${bar} ${ratio >= bar ? 'met' : 'NOT MET'}`,
    ]);
  }
  console.log(table.toString());
  const { grownMb, inFlight } = await stalledHandler();
  console.log(
    `Stalled handler on a backlog of 1,000,000: ${inFlight} in flight, RSS grew by ${grownMb.toFixed(1)} MB in 5 s (bar: 20).`,
  );
}
