import { describe, expect, it } from '@jest/globals';
import { expectTypeOf } from 'expect-type';
import {
  filter,
  ignoreElements,
  map,
  mergeMap,
  NEVER,
  of,
  pipe,
  tap,
  type Observable,
  type ObservableInput,
  type OperatorFunction,
} from 'rxjs';
import {
  ackEach,
  batch,
  decode,
  dedupe,
  fanOut,
  filterValue,
  handle,
  json,
  mapValue,
  ordered,
  publishTo,
  retryToDlq,
  run,
  settling,
  split,
  text,
  withOutbox,
  type BatchDelivery,
  type Delivery,
  type HandlerResult,
  type Position,
  type StandardSchemaV1,
} from 'rxsluice';
import {
  fromMemory,
  memoryBroker,
  memoryIdempotencyStore,
  memoryOutboxStore,
  memoryPublisher,
  type MemoryPosition,
  type MemoryTransaction,
} from 'rxsluice/memory';
import { z } from 'zod';

interface Order {
  readonly id: string;
  readonly cents: number;
  readonly items: readonly string[];
}

const orderSchema: StandardSchemaV1<unknown, Order> = z.object({
  id: z.string(),
  cents: z.number(),
  items: z.array(z.string()),
});
const broker = memoryBroker({ topics: { orders: {}, dead: {} } });
const source = fromMemory(broker, { groupId: 'types', topics: ['orders'] });
const deadLetters = memoryPublisher(broker, { topic: 'dead' });
const store = memoryIdempotencyStore();
const orders = source.pipe(decode(json(orderSchema)));

/** The compiler is what tests here; nothing in it runs. */
const compiles = (_lines: () => void): void => expect(true).toBe(true);

describe('inference', () => {
  it('carries value and position through a long pipeline without one annotation', () => {
    const pipeline = source.pipe(
      ordered({ by: 'key' }),
      retryToDlq({ deadLetters, maxRetries: 3 }),
      decode(json(orderSchema)),
      dedupe({ key: ({ id }) => id, store }),
      filterValue(({ cents }) => cents > 0),
      mapValue(({ id, items }) => ({ id, count: items.length })),
      handle(async ({ count }, { position }) => ({ count, offset: position.offset })),
      tap(({ value }) => expectTypeOf(value).toEqualTypeOf<{ count: number; offset: number }>()),
      ackEach(),
    );
    expectTypeOf(pipeline).toEqualTypeOf<Observable<{ count: number; offset: number }>>();
  });

  it('gives handlers and setUp of withOutbox the transaction of the store, the value and the position', () => {
    const done = source.pipe(
      decode(json(orderSchema)),
      withOutbox(
        memoryOutboxStore(),
        async ({ id }, { tx }) => {
          expectTypeOf(tx).toEqualTypeOf<MemoryTransaction>();
          return id;
        },
        {
          setUp: (order, context) => {
            expectTypeOf(order).toEqualTypeOf<Order>();
            expectTypeOf(context.tx).toEqualTypeOf<MemoryTransaction>();
            expectTypeOf(context.delivery.position).toEqualTypeOf<MemoryPosition>();
            expectTypeOf(context).not.toHaveProperty('emit');
          },
        },
      ),
    );
    expectTypeOf(done).toEqualTypeOf<Observable<string>>();
  });

  it('starts with bytes at a position of the broker', () => {
    expectTypeOf(source).toEqualTypeOf<Observable<Delivery<Uint8Array | null, MemoryPosition>>>();
  });

  it('keeps the type through operators that do not touch the value', () => {
    const held = source.pipe(ordered({ by: ({ position }) => position.partition }), retryToDlq({ deadLetters }));
    expectTypeOf(held).toEqualTypeOf<Observable<Delivery<Uint8Array | null, MemoryPosition>>>();
  });

  it('takes the value of a codec: a schema, text, any JSON, a function', () => {
    expectTypeOf(orders).toEqualTypeOf<Observable<Delivery<Order, MemoryPosition>>>();
    const keyed = source.pipe(decode(text(z.string().transform((key) => ({ key })))));
    expectTypeOf(keyed).toEqualTypeOf<Observable<Delivery<{ key: string }, MemoryPosition>>>();
    expectTypeOf(source.pipe(decode(text()))).toEqualTypeOf<Observable<Delivery<string | null, MemoryPosition>>>();
    expectTypeOf(source.pipe(decode(json()))).toEqualTypeOf<Observable<Delivery<unknown, MemoryPosition>>>();
    const length = source.pipe(decode((bytes) => bytes?.length ?? 0));
    expectTypeOf(length).toEqualTypeOf<Observable<Delivery<number, MemoryPosition>>>();
  });

  it('gathers values to an array, and keeps the way to its members through retryToDlq and into the handler', () => {
    const batches = orders.pipe(batch({ maxSize: 10, maxWaitMs: 50 }));
    expectTypeOf(batches).toEqualTypeOf<Observable<BatchDelivery<Order, MemoryPosition>>>();
    const written = batches.pipe(
      retryToDlq({ deadLetters }),
      handle(async (rows, delivery) => {
        expectTypeOf(rows).toEqualTypeOf<readonly Order[]>();
        expectTypeOf(delivery.members).toEqualTypeOf<readonly Delivery<Order, MemoryPosition>[]>();
        delivery.nackOnly(delivery.members.slice(1), 'a duplicate row', { delayMs: 5 });
        return rows.length;
      }),
    );
    expectTypeOf(written).toEqualTypeOf<Observable<Delivery<number, MemoryPosition>>>();
    expectTypeOf<BatchDelivery<Order>>().toExtend<Delivery<readonly Order[]>>();
  });

  it('splits a value in the elements of what a function gives: an array, a Set, a generator', () => {
    const items = orders.pipe(split(({ items }) => items));
    expectTypeOf(items).toEqualTypeOf<Observable<Delivery<string, MemoryPosition>>>();
    const letters = orders.pipe(
      split(
        function* ({ id }, { position, attempt }) {
          yield id.length + position.offset;
          yield attempt === 1;
        },
        { maxParts: 500, maxPartsInFlight: 1 },
      ),
    );
    expectTypeOf(letters).toEqualTypeOf<Observable<Delivery<number | boolean, MemoryPosition>>>();
    const pairs = orders.pipe(
      split(({ items }) => new Map(items.map((item) => [item, item.length]))),
      handle(([item, length]) => item.repeat(length)),
      ackEach(),
    );
    expectTypeOf(pairs).toEqualTypeOf<Observable<string>>();
  });

  it('splits a batch, whose members the function may look at', () => {
    const rows = orders.pipe(
      batch({ maxSize: 10, maxWaitMs: 50 }),
      split((all, { members }) => all.map((order, index) => ({ order, attempt: members[index]?.attempt }))),
    );
    expectTypeOf(rows).toEqualTypeOf<
      Observable<Delivery<{ order: Order; attempt: number | undefined }, MemoryPosition>>
    >();
  });

  it('merges what the branches of a fan-out emit', () => {
    const both = orders.pipe(
      fanOut(
        (each) => each.pipe(retryToDlq({ deadLetters }), handle(({ cents }) => cents), ackEach()), // prettier-ignore
        (each) => each.pipe(batch({ maxSize: 10, maxWaitMs: 50 }), handle((rows) => rows.length > 0), ackEach()), // prettier-ignore
        (each) => each.pipe(ackEach(), ignoreElements()),
      ),
    );
    expectTypeOf(both).toEqualTypeOf<Observable<number | boolean>>();
    const kept = orders.pipe(fanOut(mapValue(({ id }: Order) => id), (each) => each.pipe(mapValue(({ cents }) => cents)))); // prettier-ignore
    expectTypeOf(kept).toEqualTypeOf<Observable<Delivery<string, MemoryPosition> | Delivery<number, MemoryPosition>>>();
  });

  it('takes branches that are made apart, bare operators, and an array', () => {
    const charge = (each: typeof orders) => each.pipe(handle(({ cents }) => cents), ackEach()); // prettier-ignore
    const index = pipe(filterValue<Order, MemoryPosition>(({ cents }) => cents > 0), ackEach()); // prettier-ignore
    expectTypeOf(orders.pipe(fanOut(charge, index))).toEqualTypeOf<Observable<number | Order>>();
    const together = fanOut(charge, index);
    expectTypeOf(orders.pipe(together)).toEqualTypeOf<Observable<number | Order>>();
    expectTypeOf(orders.pipe(fanOut(...[charge, charge]))).toEqualTypeOf<Observable<number>>();
    const bare = orders.pipe(
      fanOut(handle(({ cents }) => cents), mapValue(({ id }) => id), pipe(handle(({ id }) => [id]), ackEach()), ackEach()), // prettier-ignore
    );
    expectTypeOf(bare).toEqualTypeOf<
      Observable<Order | Delivery<number, MemoryPosition> | Delivery<string, MemoryPosition> | string[]>
    >();
  });

  it('publishes what a function makes of the value, and passes the delivery on as it is', () => {
    const relayed = orders.pipe(publishTo(deadLetters, ({ id, cents }) => ({ key: id, value: String(cents) })));
    expectTypeOf(relayed).toEqualTypeOf<typeof orders>();
    const batches = orders.pipe(batch({ maxSize: 10, maxWaitMs: 50 }));
    const all = batches.pipe(publishTo(deadLetters, (rows) => rows.map(({ id }) => ({ value: id })), { maxBatch: 5 }));
    expectTypeOf(all).toEqualTypeOf<typeof batches>();
  });

  it('narrows by a type guard', () => {
    const present = source.pipe(
      filterValue((value): value is Uint8Array => value !== null),
      mapValue((value) => value.length),
    );
    expectTypeOf(present).toEqualTypeOf<Observable<Delivery<number, MemoryPosition>>>();
  });

  it('takes the last value of what a handler returns: a Promise, an Observable or the value itself', () => {
    const results = [
      orders.pipe(
        handle(async ({ cents }) => cents),
        ackEach(),
      ),
      orders.pipe(
        handle(({ cents }) => of(cents)),
        ackEach(),
      ),
      orders.pipe(
        handle(({ cents }) => cents),
        ackEach(),
      ),
    ];
    expectTypeOf(results).toEqualTypeOf<Observable<number>[]>();
  });

  it('takes what a handler returns in several ways: a value or a Promise, an ObservableInput', () => {
    const cached = orders.pipe(handle(({ cents }) => (cents > 0 ? ('free' as const) : Promise.resolve({ cents }))));
    expectTypeOf(cached).toEqualTypeOf<Observable<Delivery<'free' | { cents: number }, MemoryPosition>>>();
    const ways = (order: Order): string | Promise<number> | Observable<boolean> => of(order.cents > 0);
    expectTypeOf(orders.pipe(handle(ways), ackEach())).toEqualTypeOf<Observable<string | number | boolean>>();
    const input = (order: Order): ObservableInput<Order> => of(order);
    expectTypeOf(orders.pipe(handle(input), ackEach())).toEqualTypeOf<Observable<Order>>();
    const result = (order: Order): HandlerResult<Order> => order;
    expectTypeOf(orders.pipe(handle(result), ackEach())).toEqualTypeOf<Observable<Order>>();
    const settledOnes = orders.pipe(mergeMap((order) => settling(order, ways)), ackEach()); // prettier-ignore
    expectTypeOf(settledOnes).toEqualTypeOf<Observable<string | number | boolean>>();
    const outbox = orders.pipe(withOutbox(memoryOutboxStore(), ({ id }) => (id === '' ? null : Promise.resolve(id))));
    expectTypeOf(outbox).toEqualTypeOf<Observable<string | null>>();
    expectTypeOf(orders.pipe(handle(({ items }) => items), ackEach())).toEqualTypeOf<Observable<readonly string[]>>(); // prettier-ignore
    expectTypeOf(orders.pipe(handle(async () => {}), ackEach())).toEqualTypeOf<Observable<void>>(); // prettier-ignore
    expectTypeOf(orders.pipe(handle(() => JSON.parse('1')), ackEach())).toEqualTypeOf<Observable<ReturnType<typeof JSON.parse>>>(); // prettier-ignore
  });

  it('is kept by operators that are made apart, and by functions that make them', () => {
    const retry = () => retryToDlq({ deadLetters });
    const keyed = () => ordered({ by: 'key' });
    const some = () => batch({ maxSize: 10, maxWaitMs: 50 });
    const end = ackEach();
    const all = orders.pipe(keyed(), retry(), handle(({ id }) => id), end); // prettier-ignore
    expectTypeOf(all).toEqualTypeOf<Observable<string>>();
    const batches = orders.pipe(some(), retry(), handle((rows, { members }) => rows.length + members.length), end); // prettier-ignore
    expectTypeOf(batches).toEqualTypeOf<Observable<number>>();
  });

  it('goes through generic functions, whose results may be declared', () => {
    const field = <T, K extends keyof T>(key: K): OperatorFunction<Delivery<T>, Delivery<T[K]>> =>
      mapValue((value: T) => value[key]);
    const timed = <T, R>(fn: (value: T) => HandlerResult<R>): OperatorFunction<Delivery<T>, Delivery<R>> =>
      handle(fn, { timeoutMs: 100 });
    const same = <T>(): OperatorFunction<Delivery<T>, Delivery<T>> => filterValue((value: T) => value !== undefined);
    const pipeline = orders.pipe(
      same(),
      field('cents'),
      timed((cents) => Promise.resolve(cents + 1)),
      ackEach(),
    );
    expectTypeOf(pipeline).toEqualTypeOf<Observable<number>>();
    expectTypeOf(orders.pipe(mapValue(() => JSON.parse('1')), ackEach())).toEqualTypeOf<Observable<ReturnType<typeof JSON.parse>>>(); // prettier-ignore
    expectTypeOf(orders.pipe(mapValue(() => { throw new Error('no'); }), ackEach())).toEqualTypeOf<Observable<never>>(); // prettier-ignore
  });

  it('goes through plain RxJS operators that forward the delivery', () => {
    const settled = orders.pipe(
      filter(({ attempt }) => attempt < 5),
      mergeMap((order) => settling(order, ({ items }) => items.join()), 16),
      ackEach(),
    );
    expectTypeOf(settled).toEqualTypeOf<Observable<string>>();
  });

  it('changes the value by withValue and keeps the way back', () => {
    const changed = orders.pipe(map((delivery) => delivery.withValue(delivery.value.cents)));
    expectTypeOf(changed).toEqualTypeOf<Observable<Delivery<number, MemoryPosition>>>();
    expectTypeOf<Delivery<Order, MemoryPosition>>().toExtend<Delivery<unknown, Position>>();
  });
});

describe('what must not compile', () => {
  it('a spread, which loses the way back', () =>
    compiles(() => {
      const spread = orders.pipe(map((delivery) => ({ ...delivery, value: 1 })));
      // @ts-expect-error ack, nack, settle and withValue are missing
      spread.pipe(ackEach());
    }));

  it('dedupe by a field before decode', () =>
    compiles(() => {
      // @ts-expect-error the value is still bytes
      source.pipe(dedupe({ key: (value) => value.id, store }));
    }));

  it('a foreign map to a value, which drops the delivery', () =>
    compiles(() => {
      const values = orders.pipe(map(({ value }) => value));
      // @ts-expect-error a value cannot be acked
      values.pipe(ackEach());
    }));

  it('decode after decode', () =>
    compiles(() => {
      // @ts-expect-error the value is an order, not bytes
      orders.pipe(decode(text()));
    }));

  it('parts that are text or arrive over time, and branches that are none', () =>
    compiles(() => {
      // @ts-expect-error text is a value
      orders.pipe(split(({ id }) => id));
      // @ts-expect-error a Promise: handle it first
      orders.pipe(split(async ({ items }) => items));
      // @ts-expect-error an Observable: handle it first
      orders.pipe(split(({ items }) => of(items)));
      // @ts-expect-error below decode there are no bytes
      orders.pipe(fanOut((each: typeof source) => each.pipe(ackEach())));
    }));

  it('run of a pipeline that still emits deliveries', () =>
    compiles(() => {
      run(orders.pipe(ackEach()));
      run(NEVER);
      // @ts-expect-error end it with ackEach()
      run(orders);
      // @ts-expect-error also after a handler
      run(orders.pipe(handle(({ cents }) => cents)));
    }));

  it('a delivery of somebody’s own making', () =>
    compiles(() => {
      // @ts-expect-error deliveries are made by sources and operators alone
      new (null as unknown as typeof Delivery)();
    }));

  it('a spread of a batch, or its members where there is no batch', () =>
    compiles(() => {
      const spread = orders.pipe(
        batch({ maxSize: 1, maxWaitMs: 1 }),
        map((each) => ({ ...each, value: 1 })),
      );
      // @ts-expect-error ack, nack, settle and withValue are missing
      spread.pipe(ackEach());
      // @ts-expect-error an order has no members
      orders.pipe(handle((_, delivery) => delivery.members));
    }));

  it('a message that is none, or one to wait for', () =>
    compiles(() => {
      // @ts-expect-error not a message
      orders.pipe(publishTo(deadLetters, ({ cents }) => cents));
      // @ts-expect-error a function that gives its message at once
      orders.pipe(publishTo(deadLetters, async ({ id }) => ({ value: id })));
    }));

  it('options that do not exist, or of the wrong kind', () =>
    compiles(() => {
      // @ts-expect-error not an option
      ordered({ by: 'key', lanes: 4 });
      // @ts-expect-error not a key
      ordered({ by: 'colour' });
      // @ts-expect-error required
      retryToDlq({ maxRetries: 3 });
      // @ts-expect-error both are needed
      batch({ maxSize: 10 });
      // @ts-expect-error a number
      handle((value: number) => value, { concurrency: 'many' });
    }));
});
