import { describe, expect, it } from '@jest/globals';
import { map, NEVER, timer, type Observable, type ObservableInput } from 'rxjs';
import {
  ackEach,
  handle,
  ordered,
  type Delivery,
  type Position,
  type SourceOptions,
  type TelemetryEvent,
} from 'rxsluice';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { queueSource, type QueueEngine } from 'rxsluice/broker';
import { collect, virtually } from './harness.js';

interface Mail {
  readonly id: string;
}

interface TestQueue {
  readonly events: TelemetryEvent[];
  readonly asked: string[];
  readonly engine: QueueEngine<Mail>;
  readonly deliveries: Observable<Delivery<Uint8Array | null>>;
  onAck(records: readonly Mail[]): ObservableInput<readonly unknown[]>;
  push(...ids: string[]): void;
}

/** A queue whose adapter writes down what it is asked. */
function testQueue(options: SourceOptions = {}): TestQueue {
  const events: TelemetryEvent[] = [];
  const asked: string[] = [];
  let engine: QueueEngine<Mail> | null = null;
  const queue: TestQueue = {
    events,
    asked,
    onAck: (records) => [records.map(() => null)],
    push: (...ids) => engine?.push(ids.map((id) => ({ id }))),
    get engine() {
      return engine as unknown as QueueEngine<Mail>;
    },
    deliveries: queueSource<Mail, Position>({
      name: 'testQueue',
      queue: { topic: 'q', partition: 0 },
      options: { telemetry: (event) => void events.push(event), ...options },
      shape: {
        value: () => null,
        key: () => null,
        headers: () => ({}),
        timestamp: () => 0,
        position: () => ({ broker: 'test' }),
        positionText: ({ id }) => id,
        bytes: () => 1,
      },
      connect: (made) => {
        engine = made;
        return {
          start: () => undefined,
          demand: (wanted) => void asked.push(`demand ${wanted}`),
          ack: (records) => {
            asked.push(`ack ${records.map(({ id }) => id).join()}`);
            return queue.onAck(records);
          },
          nack: (records) => void asked.push(`nack ${records.map(({ id }) => id).join()}`),
          close: () => {
            asked.push('close');
            return [];
          },
        };
      },
    }),
  };
  return queue;
}

const ofType = (events: readonly TelemetryEvent[], type: string): TelemetryEvent[] =>
  events.filter((event) => event.type === type);

describe('queueSource', () => {
  it('settles each message by itself, in any order, and groups the acks of a burst', () =>
    virtually(() => {
      const queue = testQueue();
      const { all } = collect(queue.deliveries);
      queue.push('a', 'b', 'c');
      all[2]?.ack();
      expect(queue.asked).toEqual(['ack c']);
      queue.asked.length = 0;
      queue.deliveries.subscribe((delivery) => delivery.ack());
      queue.push('d', 'e');
      expect(queue.asked).toEqual(['ack d,e']);
    }));

  it('gives a nack back to the broker after its delay, and holds it in credit until then', () =>
    virtually(({ advance }) => {
      const queue = testQueue({ maxInFlight: 1 });
      const { all, ids } = collect(queue.deliveries);
      queue.push('a', 'b');
      all[0]?.nack('no', { delayMs: 50 });
      advance(49);
      expect([queue.asked, ids]).toEqual([[], ['0/a#1']]);
      advance(1);
      expect([queue.asked, ids]).toEqual([['nack a'], ['0/a#1', '0/b#1']]);
    }));

  it('frees a credit once the ack is answered, and reports one that failed: the broker sends it again', () =>
    virtually(({ advance }) => {
      const queue = testQueue({ maxInFlight: 1 });
      const { all, ids } = collect(queue.deliveries);
      queue.onAck = (records) => [records.map(() => new Error('expired'))];
      queue.push('a', 'b');
      all[0]?.ack();
      advance(1);
      expect(ids).toEqual(['0/a#1', '0/b#1']);
      expect(ofType(queue.events, 'ack-failed')).toHaveLength(1);
      expect(ofType(queue.events, 'settled')).toHaveLength(0);
    }));

  it('waits for acks under way before it closes, and gives back what was not emitted', () =>
    virtually(({ advance, timers }) => {
      const stop = new AbortController();
      const queue = testQueue({ maxInFlight: 2, stop: stop.signal });
      const { all, ends } = collect(queue.deliveries);
      queue.onAck = (records) => timer(30).pipe(map(() => records.map(() => null)));
      queue.push('a', 'b', 'c');
      stop.abort();
      expect(queue.asked).toEqual(['demand false', 'nack c']);
      all[0]?.ack();
      all[1]?.nack('x');
      advance(29);
      expect([ends, queue.asked]).toEqual([[], ['demand false', 'nack c', 'ack a', 'nack b']]);
      advance(2);
      expect([ends, queue.asked.at(-1), timers()]).toEqual([['complete'], 'close', 0]);
    }));

  it('on unsubscribe gives back what our operators hold, at once', () =>
    virtually(({ timers }) => {
      const queue = testQueue();
      const subscription = queue.deliveries
        .pipe(
          handle(() => NEVER, { concurrency: 1 }),
          ackEach(),
        )
        .subscribe();
      queue.push('a', 'b');
      subscription.unsubscribe();
      expect([queue.asked.sort(), timers()]).toEqual([['close', 'demand false', 'nack a', 'nack b'], 0]);
    }));

  it('gives back at the end what foreign hands never settled', () =>
    virtually(({ advance }) => {
      const queue = testQueue({ drainTimeoutMs: 100 });
      const { all, subscription } = collect(queue.deliveries);
      queue.push('a', 'b');
      subscription.unsubscribe();
      all[0]?.ack();
      advance(100);
      expect(queue.asked).toEqual(['demand false', 'ack a', 'nack b', 'close']);
      all[1]?.ack();
      expect(queue.asked).toHaveLength(4);
    }));

  it('asks for no more at the end, and gives back what still comes', () =>
    virtually(() => {
      const queue = testQueue();
      const { subscription } = collect(queue.deliveries);
      subscription.unsubscribe();
      queue.push('late');
      expect(queue.asked).toEqual(['demand false', 'close', 'nack late']);
    }));

  it('ends with a typed error where its adapter fails (I7)', () =>
    virtually(() => {
      const queue = testQueue();
      const { ends } = collect(queue.deliveries);
      queue.engine.fail(new Error('permission denied'));
      expect(ends).toEqual(['error source-failed']);
    }));

  it('gives a key back that ordered held, where its delivery is let go: the broker may give that to another', () =>
    virtually(({ advance }) => {
      const queue = testQueue();
      const { all, ids } = collect(queue.deliveries.pipe(ordered({ by: 'partition' })));
      queue.push('a', 'b');
      advance(1);
      (all[0] as unknown as DeliveryNode).abandon();
      advance(1);
      expect(ids).toEqual(['0/a#1', '0/b#1']);
    }));
});
