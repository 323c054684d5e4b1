import { afterEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { EMPTY, type Subscription } from 'rxjs';
import { ackEach } from '../../../lib/index.js';
import type { PubSubStreamLike } from '../../../lib/brokers/pubsub/pubsub-client.js';
import { createLiveStream } from '../../../lib/brokers/pubsub/pubsub-live-stream.js';
import { resolvePubSubOptions } from '../../../lib/brokers/pubsub/pubsub-options.js';
import { streamCount, streamOptions } from '../../../lib/brokers/pubsub/pubsub-stream-options.js';
import { fromPubSub, type PubSubSourceOptions } from '../../../lib/pubsub.js';
import { virtually } from '../../core/harness.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import { until } from '../../support/until.js';

describe('the streams of a source', () => {
  const pubsub = { isOpen: true, subscription: () => ({}) as never, request: () => undefined };
  const subscription = { name: 'projects/demo/subscriptions/s', pubsub };
  const of = (options: PubSubSourceOptions) => resolvePubSubOptions(subscription, options);

  it.each<[string, PubSubSourceOptions, number]>([
    ['by default', {}, 5],
    ['as many as are asked for', { maxStreams: 2 }, 2],
    ['ten where memory allows', { maxStreams: 10, maxBufferedBytes: 200_000_000 }, 10],
    ['as many as have four messages each', { maxInFlight: 10, readAhead: 4 }, 3],
    ['one for a message at a time', { maxInFlight: 1, readAhead: 0 }, 1],
    ['as many as may have a message of 10 MB each', { maxBufferedBytes: 25_000_000 }, 2],
    ['of ten, as many as may have one', { maxStreams: 10, maxBufferedBytes: 75_000_000 }, 7],
    ['one where memory is short', { maxBufferedBytes: 1_000_000 }, 1],
  ])('are as many as are of use: %s', (_, options, streams) => {
    expect(streamCount(of(options))).toBe(streams);
  });

  it('have the bounds together, and nobody more than their part', () => {
    const options = of({ maxInFlight: 30, readAhead: 22, maxBufferedBytes: 100_000_000 });
    const { flowControl } = streamOptions(options, 0, (call, next) => next(call));
    expect([streamCount(options), flowControl.maxMessages, flowControl.maxBytes]).toEqual([5, 11, 20_000_000]);
  });
});

describe('a stream that is lost', () => {
  /** How long each of its losses took to be mended, where each stream lives for so long. */
  const waits = (livesMs: number): number[] => {
    const seen: number[] = [];
    virtually(({ advance, now }) => {
      let lostAt: number | null = null;
      let lose: () => void = () => undefined;
      const open = (): PubSubStreamLike => {
        if (lostAt !== null) seen.push(Math.round(now() - lostAt));
        lostAt = null;
        return {
          on: (event: string, listener: (given: never) => void) => {
            if (event === 'error') lose = () => listener(new Error('refused') as never);
          },
          setOptions: () => undefined,
          close: () => Promise.resolve(),
        };
      };
      const stream = createLiveStream({
        open,
        receive: () => undefined,
        giveBack: () => EMPTY,
        lost: () => true,
        failed: () => undefined,
        ackFailed: () => undefined,
        isTooMuch: () => false,
      });
      stream.connect();
      for (let times = 0; times < 5; times++) {
        advance(livesMs);
        lostAt = now();
        lose();
        advance(10_000);
      }
    });
    return seen;
  };

  it('is opened again later each time where it fails at once', () => {
    expect(waits(1)).toEqual([100, 200, 400, 800, 1_600]);
  });

  it('is opened again soon where it went on for a minute before, though no message came', () => {
    expect(waits(3_600_000)).toEqual([100, 100, 100, 100, 100]);
  });
});

describePubSubFake('fromPubSub over several streams', (fake, pubsub) => {
  const events: string[] = [];
  let source: Subscription | null = null;
  afterEach(async () => {
    source?.unsubscribe();
    await until('it is closed', () => events.includes('closed'), 10_000);
    events.length = 0;
  });

  const open = (name: string, options: PubSubSourceOptions) =>
    fromPubSub(pubsub().newPubSub().subscription(name), {
      drainTimeoutMs: 500,
      telemetry: ({ type }) => void events.push(type),
      ...options,
    });

  it('has no more out than its bound, and all of it', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 100);
    let emitted = 0;
    source = open(name, { maxInFlight: 20, readAhead: 20 }).subscribe(() => emitted++);
    await until('the bound is out', () => fake().subscription(name).outstanding === 40, 10_000);
    await sleep(300);
    const { outstanding, streams } = fake().subscription(name);
    expect([outstanding, streams, emitted]).toEqual([40, 5, 20]);
  });

  it('does not tell of an outage where all of them are cut once, and reads on over each', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic);
    let done = 0;
    source = open(name, {})
      .pipe(ackEach())
      .subscribe(() => done++);
    const streaming = (): Promise<void> => until('all stream', () => fake().subscription(name).streams === 5, 10_000);
    await streaming();
    // Of this the client gives up a stream at once.
    fake().cutStreams('UNKNOWN');
    await streaming();
    await pubsub().publish(topic, 50);
    await until('all are done', () => done === 50, 10_000);
    expect(events.filter((type) => type === 'unavailable')).toEqual([]);
  });

  it.each(['UNAVAILABLE', 'UNKNOWN'] as const)(
    'holds no more than twice its bound, however often they are renewed (%s), and reads on once there is room',
    async (code) => {
      const topic = await pubsub().createTopic();
      const name = await pubsub().createSubscription(topic);
      await pubsub().publish(topic, 300);
      const stalled: (() => void)[] = [];
      let isStalled = true;
      let done = 0;
      source = open(name, { maxInFlight: 10, readAhead: 0 }).subscribe((delivery) => {
        const ack = (): void => {
          done++;
          delivery.ack();
        };
        if (isStalled) stalled.push(ack);
        else ack();
      });
      const view = () => fake().subscription(name);
      let most = 0;
      // The client opens a stream again by itself after the first code, and gives it up after the second.
      for (let renewals = 0; renewals < 6; renewals++) {
        const { outstanding } = view();
        await until(
          'streams bring their part, or wait',
          () => view().outstanding > outstanding || (outstanding === 20 && view().streams === 0),
          20_000,
        );
        await sleep(100);
        most = Math.max(most, view().outstanding);
        fake().cutStreams(code, name);
        await until('they are cut', () => view().streams === 0, 10_000);
      }
      expect(most).toBe(20);
      isStalled = false;
      for (const ack of stalled) ack();
      await until('all are done', () => done === 300 && view().backlog === 0, 30_000);
    },
    90_000,
  );
});
