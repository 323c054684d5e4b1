// One consumer of a subscription in a process of its own, to be killed and stopped: writes what becomes of each message to a file.
import { openSync, writeSync } from 'node:fs';
import { PubSub } from '@google-cloud/pubsub';
import { ackEach, handle, ordered } from '../../lib/index.js';
import { fromPubSub } from '../../lib/pubsub.js';

/** What a consumer is told. */
export interface PubSubMemberSettings {
  readonly endpoint: string;
  readonly subscription: string;
  readonly mode: 'streaming' | 'pull';
  readonly exactlyOnce: boolean;
  /** How many of its messages it fails. */
  readonly failing: number;
  readonly file: string;
}

const settings = JSON.parse(process.argv[2] as string) as PubSubMemberSettings;
const { endpoint, subscription, mode, exactlyOnce, failing, file } = settings;
const out = openSync(file, 'a');
const say = (what: string): void => void writeSync(out, `${what} ${process.pid} ${Date.now()}\n`);
const pubsub = new PubSub({ projectId: 'demo', apiEndpoint: endpoint, emulatorMode: true });
// The fake does with a call that was cut off what the service does.
pubsub.isEmulator = false;
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
/** What is worked on, by the ids of the messages. */
const numbers = new Map<string, string>();

fromPubSub(pubsub.subscription(subscription), {
  mode,
  maxInFlight: 64,
  ackDeadlineMs: 10_000,
  drainTimeoutMs: 5_000,
  stop: stop.signal,
  telemetry: (event) => {
    if (event.type === 'ack-failed') say('r -');
    if (event.type !== 'settled') return;
    // Where no acks are confirmed, the client answers them before they are sent.
    if (exactlyOnce || mode === 'pull') say(`a ${numbers.get(event.message.id)}`);
    numbers.delete(event.message.id);
  },
})
  .pipe(
    ordered({ by: 'key' }),
    handle(
      async (value, { id }) => {
        const number = new TextDecoder().decode(value as Uint8Array);
        numbers.set(id, number);
        say(`s ${number}`);
        await new Promise((resolve) => setTimeout(resolve, 2 + 40 * Math.random()));
        const fails = Math.random() < failing;
        say(`${fails ? 'f' : 'd'} ${number}`);
        if (fails) throw new Error('not this time');
      },
      { concurrency: 24 },
    ),
    ackEach(),
  )
  .subscribe({
    error: (error: unknown) => {
      say(`e ${String(error).replaceAll(/\s/g, '_')}`);
      process.exitCode = 1;
      void pubsub.close();
    },
    complete: () => void pubsub.close(),
  });
