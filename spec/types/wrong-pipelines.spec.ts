import { describe, expect, it } from '@jest/globals';
import { diagnose } from '../docs/diagnose.js';

const HEAD = `
import { bufferCount, map, mergeMap, type Observable } from 'rxjs';
import { z } from 'zod';
import {
  ackEach, batch, decode, dedupe, fanOut, filterValue, handle, json, mapValue, ordered, publishTo, retryToDlq, run,
  settling, split, text, topicPublisher, withOutbox,
} from 'rxsluice';
import { fromMemory, memoryBroker, memoryIdempotencyStore, memoryOutboxStore, memoryPublisher } from 'rxsluice/memory';
const order = z.object({ id: z.string(), cents: z.number(), items: z.array(z.string()) });
const broker = memoryBroker({ topics: { orders: {}, dead: {} } });
const source = fromMemory(broker, { groupId: 'types', topics: ['orders'] });
const deadLetters = memoryPublisher(broker, { topic: 'dead' });
const store = memoryIdempotencyStore();
const orders = source.pipe(decode(json(order)));
`;

const NO_DELIVERY =
  'operators of rxsluice take deliveries: mapValue, not map; delivery.withValue, not a spread; ackEach last';
const NO_BYTES = 'decode takes the bytes of the source: it stands once, above all that changes the value';
const A_SCHEMA = 'a schema checks values, not bytes: decode(json(schema)), or decode(text(schema))';
const A_PROMISE = 'this function is not waited for: use handle() for one that returns a Promise';
const A_PROMISED_PART = 'a part is a value, not a Promise: split first, then handle() each part';
const A_PROMISED_KEY = 'a key is text, bytes or a number, given at once: it is not waited for';
const STILL_DELIVERIES = 'the pipeline still emits deliveries: end it with ackEach()';

/** Each is a pipeline as it is written, and what the last lines of the compiler must say. */
const wrong: readonly (readonly [code: string, says: string])[] = [
  ['source.pipe(decode(order), ackEach())', A_SCHEMA],
  ['source.pipe(decode(z.string()), handle((id) => id), ackEach())', A_SCHEMA],
  ['source.pipe(decode(z.instanceof(Uint8Array)), ackEach())', A_SCHEMA],
  ['source.pipe(decode(z.unknown()), ackEach())', A_SCHEMA],
  ['orders.pipe(decode(text()), ackEach())', NO_BYTES],
  ['orders.pipe(mapValue(({ id }) => id), decode(json(order)), ackEach())', NO_BYTES],
  ['orders.pipe(mapValue(async ({ id }) => id), ackEach())', A_PROMISE],
  [
    'orders.pipe(retryToDlq({ deadLetters }), mapValue(async ({ id }) => id), handle((id) => id), ackEach())',
    A_PROMISE,
  ],
  ['orders.pipe(filterValue(async ({ cents }) => cents > 0), ackEach())', A_PROMISE],
  ['orders.pipe(filterValue(({ cents }) => cents), ackEach())', "Type 'number' is not assignable to type 'boolean'"],
  ['orders.pipe(ordered({ by: async ({ value }) => value.id }), ackEach())', A_PROMISED_KEY],
  [
    'orders.pipe(dedupe({ key: async ({ id }) => id, store }), ackEach())',
    "'Promise<string>' is not assignable to type 'string'",
  ],
  ['orders.pipe(split(({ items }) => items.map(async (item) => item)), ackEach())', A_PROMISED_PART],
  [
    'orders.pipe(split(async ({ items }) => items), ackEach())',
    "'[Symbol.iterator]' is missing in type 'Promise<string[]>'",
  ],
  [
    'orders.pipe(publishTo(deadLetters, async ({ id }) => ({ value: id })), ackEach())',
    "is not assignable to type 'Message | readonly Message[]'",
  ],
  [
    'topicPublisher(async (topic) => memoryPublisher(broker, { topic }))',
    "Property 'connect' is missing in type 'Promise<",
  ],
  [
    'retryToDlq({ deadLetters, classify: async () => undefined })',
    "Type 'Promise<undefined>' is not assignable to type 'FailureClass | undefined'",
  ],
  ['retryToDlq({ deadLetters, backoff: async () => 5 })', "Type 'Promise<number>' is not assignable to type 'number'"],
  ['orders.pipe(map((delivery) => ({ ...delivery, value: 1 })), ackEach())', NO_DELIVERY],
  ['orders.pipe(map((delivery) => ({ ...delivery, value: 1 })), handle((value) => value), ackEach())', NO_DELIVERY],
  ['orders.pipe(map(({ value }) => value), ackEach())', NO_DELIVERY],
  ...[
    'ackEach()',
    'retryToDlq({ deadLetters })',
    "ordered({ by: 'key' })",
    "ordered({ by: () => 'key' })",
    'handle((value) => value)',
    'mapValue((value) => value)',
    'filterValue(() => true)',
    "dedupe({ key: () => 'key', store })",
    'batch({ maxSize: 10, maxWaitMs: 5 })',
    'split(() => [1])',
    "publishTo(deadLetters, () => ({ value: 'a' }))",
    'withOutbox(memoryOutboxStore(), () => 1)',
    'fanOut((each) => each.pipe(ackEach()))',
    'decode(text())',
  ].map((operator) => [`orders.pipe(ackEach(), ${operator})`, NO_DELIVERY] as const),
  ['orders.pipe(bufferCount(10), handle((rows) => rows), ackEach())', NO_DELIVERY],
  ['orders.pipe(withOutbox(memoryOutboxStore(), async ({ id }) => id), ackEach())', NO_DELIVERY],
  ['orders.pipe(ackEach(), mergeMap((value) => settling(value, () => 1)), ackEach())', NO_DELIVERY],
  ['run(orders)', STILL_DELIVERIES],
  ['run(orders.pipe(handle(async ({ id }) => id)))', STILL_DELIVERIES],
];

const told = new Map<string, string[]>();
const modules = Object.fromEntries(wrong.map(([code], index) => [`wrong-${index}.ts`, `${HEAD}${code};\n`]));
for (const diagnostic of diagnose(modules)) {
  const [, index, text] = /wrong-(\d+)\.ts: (.*)$/s.exec(diagnostic) as unknown as [string, string, string];
  const code = (wrong[Number(index)] as readonly [string, string])[0];
  told.set(code, [...(told.get(code) ?? []), text]);
}

describe('the compiler, of a wrong pipeline,', () => {
  it.each(wrong)('%s', (code, says) => {
    const text = told.get(code)?.join('\n') ?? 'nothing';
    expect(text).toContain(says);
    expect(text).not.toMatch(/and \d+ more\.$/m);
  });
});
