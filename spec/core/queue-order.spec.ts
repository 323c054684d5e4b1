import { describe, expect, it } from '@jest/globals';
import { of, type Observable } from 'rxjs';
import { ackEach, handle, ordered, type Delivery, type Position, type SourceOptions } from 'rxsluice';
import { queueSource, type QueueEngine } from 'rxsluice/broker';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { collect, virtually } from './harness.js';

/** Named `key` and number; those named with `-` are ordered by nothing. */
type Letter = string;

interface OrderedQueue {
  readonly asked: string[];
  readonly deliveries: Observable<Delivery<Uint8Array | null>>;
  push(...letters: Letter[]): void;
}

const keyOf = (letter: Letter): string | null => (letter.startsWith('-') ? null : (letter[0] as string));

/** A queue that sends all of a key again, from what was given back on. */
function orderedQueue(options: SourceOptions = {}): OrderedQueue {
  const asked: string[] = [];
  let engine: QueueEngine<{ readonly letter: Letter }> | null = null;
  return {
    asked,
    push: (...letters) => engine?.push(letters.map((letter) => ({ letter }))),
    deliveries: queueSource<{ readonly letter: Letter }, Position>({
      name: 'orderedQueue',
      queue: { topic: 'q', partition: 0 },
      options: { telemetry: () => undefined, ...options },
      shape: {
        value: () => null,
        key: ({ letter }) => keyOf(letter),
        headers: () => ({}),
        timestamp: () => 0,
        position: () => ({ broker: 'test' }),
        positionText: ({ letter }) => letter,
        bytes: () => 1,
        orderedBy: ({ letter }) => keyOf(letter),
      },
      connect: (made) => {
        engine = made;
        const note = (what: string) => (records: readonly { readonly letter: Letter }[]) =>
          void asked.push(`${what} ${records.map(({ letter }) => letter).join()}`);
        return {
          start: () => undefined,
          demand: () => undefined,
          leaving: () => void asked.push('leaving'),
          ack: (records) => {
            note('ack')(records);
            return [records.map(() => null)];
          },
          nack: note('nack'),
          close: () => {
            asked.push('close');
            return [];
          },
        };
      },
    }),
  };
}

describe('queueSource over a broker that keeps the order of a key', () => {
  it('gives back with a message what follows it and was not emitted, in order; other keys stay', () =>
    virtually(({ advance }) => {
      const queue = orderedQueue({ maxInFlight: 2 });
      const { all, ids } = collect(queue.deliveries);
      queue.push('a1', 'b1', 'a2', '-1', 'a3', 'b2');
      all[0]?.nack('no', { delayMs: 0 });
      advance(1);
      expect(queue.asked).toEqual(['nack a1', 'nack a2,a3']);
      all[1]?.ack();
      advance(1);
      expect(ids.map((id) => id.slice(2))).toEqual(['a1#1', 'b1#1', '-1#1', 'b2#1']);
    }));

  it('gives back what ordered() holds behind it before what was not emitted, once the nack has waited', () =>
    virtually(({ advance }) => {
      const queue = orderedQueue({ maxInFlight: 4 });
      const { all, ids } = collect(queue.deliveries.pipe(ordered({ by: 'key' })));
      queue.push('a1', 'a2', 'a3', 'b1', 'a4');
      all[0]?.nack('no', { delayMs: 50 });
      advance(49);
      expect([queue.asked, ids.map((id) => id.slice(2))]).toEqual([[], ['a1#1', 'b1#1']]);
      advance(1);
      expect(queue.asked).toEqual(['nack a1', 'nack a2', 'nack a3', 'nack a4']);
      // They come again, in order, and one at a time.
      queue.push('a1', 'a2');
      expect(ids.map((id) => id.slice(2))).toEqual(['a1#1', 'b1#1', 'a1#1']);
      all[2]?.ack();
      expect(ids.at(-1)).toBe('0/a2#1');
    }));

  it('does so too where a message is let go by what works on it', () =>
    virtually(({ advance }) => {
      const queue = orderedQueue();
      const { all } = collect(queue.deliveries.pipe(ordered({ by: 'key' })));
      queue.push('a1', 'a2', 'b1');
      (all[0] as unknown as DeliveryNode).abandon();
      advance(1);
      expect(queue.asked).toEqual(['nack a1', 'nack a2']);
    }));

  it('keeps two keys that share a lane apart: only the one that goes back takes its followers with it', () =>
    virtually(({ advance }) => {
      const queue = orderedQueue();
      const { all, ids } = collect(queue.deliveries.pipe(ordered({ by: () => 'one lane for all' })));
      queue.push('a1', 'b1', 'a2', 'b2');
      all[0]?.nack('no', { delayMs: 0 });
      advance(1);
      expect(queue.asked).toEqual(['nack a1', 'nack a2']);
      expect(ids.map((id) => id.slice(2))).toEqual(['a1#1', 'b1#1']);
      all[1]?.ack();
      expect(ids.at(-1)).toBe('0/b2#1');
    }));

  it('at a stop keeps what follows a message that is worked on until that is done, so that nobody overtakes it', () =>
    virtually(({ advance }) => {
      const stop = new AbortController();
      const queue = orderedQueue({ maxInFlight: 2, stop: stop.signal });
      const { all, ends } = collect(queue.deliveries);
      queue.push('a1', '-1', 'a2', 'b1', '-2');
      stop.abort();
      expect(queue.asked).toEqual(['leaving', 'nack b1,-2']);
      all[0]?.ack();
      all[1]?.ack();
      advance(1);
      expect([queue.asked, ends]).toEqual([
        ['leaving', 'nack b1,-2', 'ack a1', 'ack -1', 'nack a2', 'close'],
        ['complete'],
      ]);
    }));

  it('at a stop gives what waits for its nack back before what ordered() holds behind it', () =>
    virtually(({ advance, timers }) => {
      const stop = new AbortController();
      const queue = orderedQueue({ stop: stop.signal });
      const { all } = collect(queue.deliveries.pipe(ordered({ by: 'key' })));
      queue.push('a1', 'a2', 'a3');
      all[0]?.nack('no', { delayMs: 1_000 });
      stop.abort();
      advance(1);
      expect([queue.asked, timers()]).toEqual([['leaving', 'nack a1', 'nack a2', 'nack a3', 'close'], 0]);
    }));

  it('loses no credit to what went back unemitted', () =>
    virtually(({ advance }) => {
      const queue = orderedQueue({ maxInFlight: 1 });
      const { all, ids } = collect(queue.deliveries);
      queue.push('a1', 'a2', 'a3');
      for (let round = 0; round < 5; round++) {
        all.at(-1)?.nack('no', { delayMs: 0 });
        advance(1);
        queue.push('a1', 'a2', 'a3');
      }
      expect(ids).toHaveLength(6);
      all.at(-1)?.ack();
      expect(ids.at(-1)).toBe('0/a2#1');
    }));

  it('passes what a handler works on through to the end at a stop, in order', () =>
    virtually(({ advance }) => {
      const stop = new AbortController();
      const queue = orderedQueue({ stop: stop.signal });
      const done: string[] = [];
      const pipeline = queue.deliveries.pipe(
        ordered({ by: 'key' }),
        handle((_, { id }) => of(id), { concurrency: 2 }),
        ackEach(),
      );
      pipeline.subscribe((id) => void done.push(id));
      queue.push('a1', 'a2', 'b1', 'a3');
      stop.abort();
      advance(1);
      expect(done.map((id) => id.slice(4))).toEqual(['a1', 'a2', 'b1', 'a3']);
    }));
});
