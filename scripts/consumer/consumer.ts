// What a user writes, compiled under every supported TypeScript against the packed package.
import { map, of, type Observable, type ObservableInput, type OperatorFunction } from 'rxjs';
import {
  ackEach,
  decode,
  dedupe,
  batch,
  filterValue,
  handle,
  json,
  mapValue,
  ordered,
  permanent,
  retryToDlq,
  run,
  type Delivery,
  type HandlerResult,
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

// @ts-expect-error a bare schema
orders.pipe(decode(order));
// @ts-expect-error a value is given at once
orders.pipe(mapValue(async (value) => value));
// @ts-expect-error so is what a predicate says
orders.pipe(filterValue(async () => true));
// @ts-expect-error a key is not waited for
orders.pipe(ordered({ by: async () => 'key' }));
// @ts-expect-error below ackEach there are values
orders.pipe(ackEach(), retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dead' }) }));

const retry = () => retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dead' }) });
const gather = () => batch({ maxSize: 10, maxWaitMs: 50 });
const end = ackEach();
const decoded = orders.pipe(ordered({ by: 'key' }), retry(), decode(json(order)));
export const lengths: Observable<number> = decoded.pipe(
  gather(),
  handle((rows, { members }) => rows.length + members.length),
  end,
);
const ways = ({ id }: Order): string | Promise<number> | Observable<boolean> => of(id === '');
export const anyWay: Observable<string | number | boolean> = decoded.pipe(handle(ways), end);
export const ofAnInput: Observable<Order> = decoded.pipe(
  handle((value): ObservableInput<Order> => of(value)),
  end,
);
export const field = <T, K extends keyof T>(key: K): OperatorFunction<Delivery<T>, Delivery<T[K]>> =>
  mapValue((value: T) => value[key]);
export const timed = <T, R>(fn: (value: T) => HandlerResult<R>): OperatorFunction<Delivery<T>, Delivery<R>> =>
  handle(fn, { timeoutMs: 100 });

export const connect: typeof logSource = logSource;
export type Adapter = LogAdapter<{ readonly offset: number }>;

declare const driver: SourceDriver;
export const cases: readonly ConformanceCase[] = sourceConformance(driver);
export const source: SourceTestBed['source'] = ({ group, topic, ...options }) =>
  fromMemory(broker, { ...options, groupId: group, topics: [topic] });
