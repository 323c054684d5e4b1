import { describe, expect, it } from '@jest/globals';
import { asyncScheduler, Subscription } from 'rxjs';
import type { TelemetryEvent } from '../../../lib/index.js';
import { fromPubSub } from '../../../lib/pubsub.js';
import { connectPubSub } from '../../../lib/brokers/pubsub/pubsub-adapter.js';
import type { PubSubRequest } from '../../../lib/brokers/pubsub/pubsub-client.js';
import {
  concurrentStreamsOf,
  createConcurrentStreams,
  type ConcurrentStreams,
  type ReadingNumbers,
} from '../../../lib/brokers/pubsub/pubsub-concurrent-streams.js';
import { resolvePubSubOptions } from '../../../lib/brokers/pubsub/pubsub-options.js';
import type { QueueEngine } from '../../../lib/core/queue-engine.js';
import { virtually } from '../../core/harness.js';

/** A source: how many streams it has now, none while it waits, and what it was told. */
function sourceOf(client: ConcurrentStreams, wanted = 5) {
  const seat = client.join(wanted);
  const told: ReadingNumbers[] = [];
  const source = {
    streams: 0,
    told,
    leave: seat.leave,
    more: seat.more,
    open: () => {
      seat.take({
        begin: (streams) => void (source.streams = streams),
        lessen: () => void source.streams--,
        full: (numbers) => void told.push(numbers),
      });
      return source;
    },
  };
  return source;
}

const streamsOf = (sources: readonly { readonly streams: number }[]): number[] => sources.map(({ streams }) => streams);
const total = (sources: readonly { readonly streams: number }[]): number =>
  streamsOf(sources).reduce((sum, streams) => sum + streams, 0);

function sourcesOf(client: ConcurrentStreams, count: number) {
  const joined = Array.from({ length: count }, () => sourceOf(client));
  return joined.map((source) => source.open());
}

describe('the sources of a client', () => {
  it.each([
    [1, 5],
    [12, 5],
    [13, 4],
    [22, 2],
    [60, 1],
  ])('%d that begin together have %d streams each', (count, each) => {
    const sources = sourcesOf(createConcurrentStreams(), count);
    expect(streamsOf(sources)).toEqual(Array.from({ length: count }, () => each));
  });

  it('have no more than they want', () => {
    const client = createConcurrentStreams();
    expect([sourceOf(client, 2).open().streams, sourceOf(client, 10).open().streams]).toEqual([2, 10]);
  });

  it('that begin one after the other have 60 together; a later one takes one of those with most', () => {
    const client = createConcurrentStreams();
    const sources = Array.from({ length: 12 }, () => sourceOf(client).open());
    expect(total(sources)).toBe(60);
    for (let count = 13; count <= 60; count++) {
      sources.push(sourceOf(client).open());
      expect(total(sources)).toBe(60);
      expect(Math.min(...streamsOf(sources))).toBe(1);
    }
    expect(streamsOf(sources)).toEqual(sources.map(() => 1));
  });

  it('beyond 60 wait, and say so; each begins once another has ended, in the order in which they came', () => {
    const client = createConcurrentStreams();
    const sources = sourcesOf(client, 62);
    const [first, second] = sources;
    const [late, later] = sources.slice(60);
    expect([late?.streams, later?.streams, total(sources)]).toEqual([0, 0, 60]);
    expect(late?.told).toEqual([{ sources: 62, most: 60, connection: 100 }]);
    first?.leave();
    first?.leave();
    expect([late?.streams, later?.streams]).toEqual([1, 0]);
    second?.leave();
    expect(later?.streams).toBe(1);
  });

  it('that wait and end never begin', () => {
    const client = createConcurrentStreams();
    const sources = sourcesOf(client, 61);
    sources[60]?.leave();
    sources[0]?.leave();
    expect(sources[60]?.streams).toBe(0);
  });

  it('that ended before they had a stream leave no trace', () => {
    const client = createConcurrentStreams();
    for (let index = 0; index < 100; index++) sourceOf(client).leave();
    expect(sourceOf(client).open().streams).toBe(5);
  });
});

describe('a source of a client', () => {
  it('has one more where it has fewer than its share and others have left some', () => {
    const client = createConcurrentStreams();
    const others = Array.from({ length: 12 }, () => sourceOf(client).open());
    const late = sourceOf(client).open();
    expect([late.streams, late.more()]).toEqual([1, false]);
    others[0]?.leave();
    expect([late.more(), late.more(), late.more(), late.more(), late.more()]).toEqual([true, true, true, true, false]);
    expect(others[5]?.more()).toBe(false);
  });

  it('has none more while it waits', () => {
    const client = createConcurrentStreams();
    const late = sourcesOf(client, 61)[60];
    expect(late?.more()).toBe(false);
  });

  it.each(['streaming', 'pull'] as const)(
    'that ends as it is told of its assignment opens nothing, and takes no seat: %s',
    (mode) =>
      virtually(({ advance, timers }) => {
        const opened: string[] = [];
        const request = ({ method }: PubSubRequest, answer: (error: null, response: unknown) => void): void => {
          opened.push(method);
          asyncScheduler.schedule(() => answer(null, {}), 1);
        };
        const subscription = () => {
          opened.push('a stream');
          return { on: () => undefined, setOptions: () => undefined, close: () => Promise.resolve() };
        };
        const given = { name: 'projects/demo/subscriptions/s', pubsub: { isOpen: true, subscription, request } };
        const events: string[] = [];
        const pipeline = new Subscription();
        const telemetry = ({ type }: TelemetryEvent): void => {
          events.push(type);
          if (type === 'assigned') pipeline.unsubscribe();
        };
        pipeline.add(fromPubSub(given, { mode, telemetry }).subscribe());
        advance(100_000);
        expect([events, opened, timers()]).toEqual([['assigned', 'closed'], ['getSubscription'], 0]);
        const others = sourcesOf(concurrentStreamsOf(given.pubsub), 12);
        expect(total(others)).toBe(60);
      }),
  );

  it('opens one more a minute once others have ended, and ends one that another needs', () =>
    virtually(({ advance }) => {
      let opened = 0;
      let closed = 0;
      const stream = {
        on: () => undefined,
        setOptions: () => undefined,
        close: () => {
          closed++;
          return Promise.resolve();
        },
      };
      const request = (_: PubSubRequest, answer: (error: null, response: unknown) => void): void => {
        asyncScheduler.schedule(() => answer(null, {}));
      };
      const subscription = () => {
        opened++;
        return stream;
      };
      const pubsub = { isOpen: true, subscription, request };
      const engine = { assign: () => undefined, misuse: () => undefined } as unknown as QueueEngine<never>;
      const client = concurrentStreamsOf(pubsub);
      const others = Array.from({ length: 12 }, () => sourceOf(client).open());
      const given = { name: 'projects/demo/subscriptions/s', pubsub };
      const adapter = connectPubSub(engine, given, 's', resolvePubSubOptions(given, {}));
      adapter.start();
      advance(59_000);
      expect([opened, total(others)]).toEqual([1, 59]);
      for (const other of others.slice(0, 3)) other.leave();
      const openedAt: number[] = [];
      for (let minute = 0; minute < 6; minute++) {
        advance(60_000);
        openedAt.push(opened);
      }
      expect([openedAt, closed]).toEqual([[2, 3, 4, 5, 5, 5], 0]);
      // 60 sources, so that each has one.
      for (let index = 0; index < 50; index++) sourceOf(client).open();
      expect(closed).toBe(4);
      adapter.leaving?.();
    }));
});

describe('the publishers of a client', () => {
  /** Takes room until there is none; how much. */
  const takeAll = ({ publishes }: ConcurrentStreams, wake = (): void => undefined): number => {
    let count = 0;
    while (publishes.take(wake)) count++;
    return count;
  };

  it.each([
    ['all 100 where nothing is read', 0, 100],
    ['what one source leaves, but for 20 that acks and leases have', 1, 75],
    ['20 at least', 60, 20],
  ])('have %s', (_, sources, most) => {
    const client = createConcurrentStreams();
    sourcesOf(client, sources);
    expect(takeAll(client)).toBe(most);
  });

  it('leave room for acks once a source begins: what is out ends, and no more goes until there is room', () => {
    const client = createConcurrentStreams();
    expect(takeAll(client)).toBe(100);
    const source = sourceOf(client).open();
    for (let index = 0; index < 25; index++) {
      client.publishes.free();
      expect(client.publishes.take(() => undefined)).toBe(false);
    }
    client.publishes.free();
    expect(client.publishes.take(() => undefined)).toBe(true);
    let woken = 0;
    client.publishes.take(() => woken++);
    source.leave();
    expect(woken).toBe(1);
  });

  it('take turns; who has nothing to send any more passes it on', () => {
    const client = createConcurrentStreams();
    for (let index = 0; index < 100; index++) client.publishes.take(() => undefined);
    const turns: string[] = [];
    client.publishes.take(() => turns.push('first'));
    client.publishes.take(() => turns.push('second'));
    client.publishes.free();
    expect(turns).toEqual(['first']);
    client.publishes.pass();
    expect(turns).toEqual(['first', 'second']);
  });
});

describe('concurrentStreamsOf', () => {
  it('is one for a client, under a key that another copy of this library knows', () => {
    const client = { isOpen: true };
    const one = concurrentStreamsOf(client);
    expect(concurrentStreamsOf(client)).toBe(one);
    expect(Object.getOwnPropertySymbols(client)).toEqual([Symbol.for('rxsluice.pubsub.concurrent-streams')]);
    expect(Object.keys(client)).toEqual(['isOpen']);
    expect(concurrentStreamsOf({})).not.toBe(one);
  });
});
