import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '@google-cloud/pubsub';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { until } from '../support/until.js';
import { describeIf } from './describe-if.js';
import { describeOwnPubSub } from './describe-own-pubsub.js';
import { describePubSub } from './describe-pubsub.js';
import { isAlive } from './is-alive.js';
import type { PubSubServerName } from './pubsub/command.js';
import { startPubSub } from './pubsub.js';
import { pubsubTestClient, type PubSubTestClient } from './pubsub-test-client.js';
import { repositoryFile } from './repository.js';
import { whyNoPubSub } from './why-no-pubsub.js';

const SHARED = 'the Pub/Sub that the specs share';
const SERVERS = ['emulator', 'fake', 'pstest'] as const;

const numbers = (messages: readonly { readonly data: Buffer }[]): number[] =>
  messages.map(({ data }) => Number(String(data)));
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** What every server does alike. */
const shared = (pubsub: () => PubSubTestClient): void => {
  it('gives back what was published', async () => {
    const topic = await pubsub().createTopic();
    const subscription = await pubsub().createSubscription(topic);
    const bytes = Buffer.from([0, 255, 128, 0]);
    const [id] = await pubsub().publish(topic, 1, {
      data: () => bytes,
      attributes: () => ({ κλειδί: 'τιμή', '': '' }.κλειδί === 'τιμή' ? { κλειδί: 'τιμή' } : {}),
      orderingKey: () => 'key',
    });

    expect(await pubsub().take(subscription, 1)).toEqual([
      expect.objectContaining({
        id,
        data: bytes,
        attributes: { κλειδί: 'τιμή' },
        orderingKey: 'key',
        deliveryAttempt: 0,
      }),
    ]);
  });
};

for (const server of SERVERS) describePubSub(server, SHARED, shared);
