// What a user writes, compiled under every supported TypeScript against the packed package.
import { map, type Observable } from 'rxjs';
import {
  ackEach,
  decode,
  dedupe,
  handle,
  json,
  mapValue,
  ordered,
  permanent,
  retryToDlq,
  run,
  type Delivery,
  type StandardSchemaV1,
} from 'rxsluice';
import { logSource, type LogAdapter } from 'rxsluice/broker';
import {
  fromMemory,
  memoryBroker,
  memoryIdempotencyStore,
  memoryPublisher,
  type MemoryPosition,
} from 'rxsluice/memory';
import { sourceConformance, type ConformanceCase, type SourceDriver, type SourceTestBed } from 'rxsluice/testing';

interface Order {
  readonly id: string;
  readonly cents: number;
}

declare const order: StandardSchemaV1<unknown, Order>;

const broker = memoryBroker({ topics: { orders: { partitions: 4 }, dead: {} } });
const orders = fromMemory(broker, { groupId: 'billing', topics: ['orders'], maxInFlight: 512 });

export const bytes: Observable<Delivery<Uint8Array | null, MemoryPosition>> = orders;

export const charged: Observable<{ id: string; offset: number }> = orders.pipe(
  ordered({ by: 'key' }),
  retryToDlq({ maxRetries: 3, deadLetters: memoryPublisher(broker, { topic: 'dead' }) }),
  decode(json(order)),
  dedupe({ key: ({ id }) => id, store: memoryIdempotencyStore() }),
  mapValue(({ id, cents }) => (cents < 0 ? permanentFailure() : id)),
  handle(async (id, { position }) => ({ id, offset: position.offset })),
  ackEach(),
);

function permanentFailure(): never {
  throw permanent(new Error('negative'));
}

run(charged);

// @ts-expect-error a pipeline that still emits deliveries
run(orders);

const spread = orders.pipe(map((delivery) => ({ ...delivery, value: 1 })));
// @ts-expect-error a spread loses the way back
spread.pipe(ackEach());

export const connect: typeof logSource = logSource;
export type Adapter = LogAdapter<{ readonly offset: number }>;

declare const driver: SourceDriver;
export const cases: readonly ConformanceCase[] = sourceConformance(driver);
export const source: SourceTestBed['source'] = ({ group, topic, ...options }) =>
  fromMemory(broker, { ...options, groupId: group, topics: [topic] });
