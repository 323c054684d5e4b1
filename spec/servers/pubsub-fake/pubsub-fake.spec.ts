import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { repositoryFile } from '../repository.js';

const run = promisify(execFile);

describe('a Pub/Sub fake that is stopped', () => {
  it('leaves nothing that keeps its process alive, though clients are still there', async () => {
    const script = `
      import { startPubSubFake } from './spec/servers/pubsub-fake/pubsub-fake.ts';
      import { pubsubTestClient } from './spec/servers/pubsub-test-client.ts';
      import { rawStream } from './spec/servers/pubsub-fake/raw-stream.ts';
      const fake = await startPubSubFake();
      const client = pubsubTestClient(fake);
      const topic = await client.createTopic();
      const name = await client.createSubscription(topic, { retryPolicy: {} });
      await client.publish(topic, 10);
      const stream = rawStream(fake.endpoint, name, { maxOutstandingMessages: 5 });
      while (stream.messages.length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
      await client.modifyDeadline(name, [stream.messages[0].ackId], 0);
      const pull = client.pull(name, 1, { wait: true }).catch(() => undefined);
      fake.delay('Acknowledge', 100_000);
      const ack = client.acknowledge(name, [stream.messages[1].ackId]).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 50));
      fake.stop();
      fake.stop();
      await Promise.all([pull, ack, stream.ended]);
      await stream.close();
      await client.close();
      const isOurs = (name) => !['PipeWrap', 'TTYWrap'].includes(name);
      const left = () => process.getActiveResourcesInfo().filter(isOurs);
      // gRPC's client gives its last socket back a moment later.
      for (let turn = 0; turn < 50 && left().length > 0; turn++) await new Promise((resolve) => setTimeout(resolve, 20));
      console.log(JSON.stringify(left()));`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script];
    const { stdout } = await run(process.execPath, args, { cwd: repositoryFile('.'), timeout: 30_000 });
    expect(JSON.parse(stdout)).toEqual([]);
  });
});
