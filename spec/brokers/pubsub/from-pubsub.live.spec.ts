import { expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastValueFrom } from 'rxjs';
import { ackEach, handle } from '../../../lib/index.js';
import { fromPubSub } from '../../../lib/pubsub.js';
import { describePubSub } from '../../servers/describe-pubsub.js';

const MESSAGES = 2_000;
const IDLE_MS = 300;

describePubSub('emulator', 'fromPubSub', (pubsub) => {
  it.each(['streaming', 'pull'] as const)(
    'leaves nothing behind that has to wait for its lease when it is stopped, %s',
    async (mode) => {
      const topic = await pubsub().createTopic();
      const name = await pubsub().createSubscription(topic, { ackDeadlineSeconds: 60 });
      const done: string[] = [];
      const read = async (count: number): Promise<void> => {
        const client = pubsub().newPubSub();
        const stop = new AbortController();
        // It waits for a message when it is stopped.
        if (count === 0) setTimeout(() => stop.abort(), IDLE_MS);
        await lastValueFrom(
          fromPubSub(client.subscription(name), { mode, stop: stop.signal }).pipe(
            handle(async (value) => {
              await sleep(1);
              if (done.push(new TextDecoder().decode(value as Uint8Array)) === count) stop.abort();
            }),
            ackEach(),
          ),
          { defaultValue: null },
        );
        await client.close();
      };
      await read(0);
      await pubsub().publish(topic, MESSAGES);
      await read(MESSAGES / 2);
      await read(MESSAGES);
      expect(new Set(done).size).toBe(MESSAGES);
    },
    30_000,
  );
});
