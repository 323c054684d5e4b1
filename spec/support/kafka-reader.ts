import { jest } from '@jest/globals';
import { fromKafka, type KafkaSourceOptions } from '../../lib/kafka.js';
import type { TelemetryEvent } from '../../lib/index.js';
import { collect } from '../core/harness.js';
import type { FakeConsumer, FakeKafka } from './kafka-fake.js';

/** Lets time pass, and everything that waits for it: needs Jest's fake timers. */
export const pass = (ms = 100): Promise<void> => jest.advanceTimersByTimeAsync(ms);

export type EventOf<Type extends TelemetryEvent['type']> = Extract<TelemetryEvent, { type: Type }>;

/** Subscribes `fromKafka` for the group `g` and keeps every delivery, unsettled, and every event. */
export function reader(kafka: FakeKafka, options: Partial<KafkaSourceOptions> = {}) {
  const events: TelemetryEvent[] = [];
  const source = fromKafka(kafka, {
    groupId: 'g',
    topics: ['t'],
    fetchMaxWaitMs: 10,
    commitIntervalMs: 10,
    telemetry: (event) => void events.push(event),
    ...options,
  });
  const collected = collect(source);
  const of = <Type extends TelemetryEvent['type']>(type: Type): EventOf<Type>[] =>
    events.filter((event): event is EventOf<Type> => event.type === type);
  return {
    ...collected,
    events,
    of,
    /** Acks all that have come so far, or those at these offsets. */
    ack: (...offsets: number[]): void => {
      for (const delivery of [...collected.all]) {
        if (offsets.length === 0 || offsets.includes(Number(delivery.id.split('/').at(-1)))) delivery.ack();
      }
    },
    closed: (): boolean => of('closed').length === 1,
  };
}

export const consumerOf = (kafka: FakeKafka, index = -1): FakeConsumer => kafka.consumers.at(index) as FakeConsumer;
