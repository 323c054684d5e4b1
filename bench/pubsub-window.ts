import Table from 'cli-table3';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { median, spreadOf } from './median.js';
import { onPubSub } from './pubsub-bed.js';
import { servesPubSub, type Taken } from './pubsub-contender.js';
import { bareSettings, takeRounds } from './pubsub-rounds.js';

// Reading over a distance, with Node's own window of HTTP/2 (64 KB, of each stream and of the connection) and with larger ones.

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const MESSAGES = 20_000;
const ONE_WAY_MS = [1, 5];
const WINDOWS = [undefined, 1_000_000, 4_000_000];
const READERS = ['bare', 'streaming'] as const;
const NAMES = { bare: 'bare client', streaming: 'fromPubSub' };

if (!servesPubSub()) void main();

async function main(): Promise<void> {
  await onPubSub('fake', async (client) => {
    for (const oneWayMs of ONE_WAY_MS) {
      const far = await startDistance(client.endpoint, oneWayMs);
      const endpoint = `127.0.0.1:${(far.address() as AddressInfo).port}`;
      const sides = READERS.flatMap((reader) => WINDOWS.map((window) => ({ reader, window })));
      const tasks = sides.map((side) => ({
        ...side,
        bed: 'fake' as const,
        endpoint,
        settings: bareSettings(5),
        bound: 1_000,
        work: 'async' as const,
      }));
      const rounds = await takeRounds(client, ROUNDS, MESSAGES, tasks);
      far.close();
      const table = new Table({
        head: [`${oneWayMs} ms each way, messages of 1 KB`, 'window', 'messages/s', "÷ with Node's window"],
      });
      sides.forEach(({ reader, window }, at) => {
        const own = sides.findIndex((side) => side.reader === reader);
        const secondsAt = (index: number): number[] => rounds.map((taken) => (taken[index] as Taken).seconds);
        const mine = secondsAt(at);
        const ratios = secondsAt(own).map((seconds, round) => seconds / (mine[round] as number));
        table.push([
          NAMES[reader],
          window?.toLocaleString('en') ?? 'of Node',
          Math.round(MESSAGES / median(mine)).toLocaleString('en'),
          window === undefined ? '' : spreadOf(ratios),
        ]);
      });
      console.log(table.toString());
    }
  });
}

/** Listens for what is passed on to an endpoint, each way after so long. */
async function startDistance(endpoint: string, oneWayMs: number): Promise<Server> {
  const [host, port] = endpoint.split(':');
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.setNoDelay();
      from.on('data', (data) => setTimeout(() => to.write(data), oneWayMs));
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
