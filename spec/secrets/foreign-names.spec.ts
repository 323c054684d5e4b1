import { expect, it } from '@jest/globals';
import { lastValueFrom, toArray } from 'rxjs';
import {
  ackEach,
  decode,
  dedupe,
  handle,
  json,
  ordered,
  permanent,
  publish,
  retryToDlq,
  split,
  type MessageHeaders,
} from '../../lib/index.js';
import { fromMemory, memoryBroker, memoryIdempotencyStore, memoryPublisher } from '../../lib/memory.js';

const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'];

const snapshot = (): unknown[] => [
  ...[Object.prototype, Array.prototype, Function.prototype].map((each) => Object.getOwnPropertyNames(each).join()),
  ({} as Record<string, unknown>)['polluted'],
];

it.each(['headers', 'json'] as const)(
  'changes no object of ours, whatever a producer calls its properties, headers and keys; dead letters as %s',
  async (format) => {
    const before = snapshot();
    const broker = memoryBroker({ topics: { in: {}, dlq: {} } });
    const value = (id: string): string =>
      `{"id":"${id}","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}`;
    const headers = Object.fromEntries(NAMES.map((name) => [name, name])) as MessageHeaders;
    const messages = NAMES.flatMap((key) => [
      { key, value: value(key), headers },
      { key, value: value('bad'), headers },
      { key, value: '{"__proto__":', headers },
    ]);
    await lastValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), messages));
    const done = await lastValueFrom(
      fromMemory(broker, { groupId: 'g', topics: ['in'], until: 'end' }).pipe(
        ordered({ by: 'key' }),
        retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dlq' }), format }),
        decode(json()),
        split((each) => [each as { readonly id: string }]),
        handle((each) => {
          if (each.id === 'bad') throw permanent(new Error('x'));
          return each;
        }),
        dedupe({ key: ({ id }) => id, store: memoryIdempotencyStore() }),
        ackEach(),
        toArray(),
      ),
    );
    expect(done.map(({ id }) => id)).toEqual(NAMES);
    const letters = broker.messages('dlq');
    expect(letters).toHaveLength(2 * NAMES.length);
    for (const letter of letters) expect(Object.keys(letter.headers)).toEqual(expect.arrayContaining(NAMES));
    expect(snapshot()).toEqual(before);
  },
);
