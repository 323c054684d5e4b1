import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { KinesisPublisherOptions } from '../../../lib/brokers/kinesis/kinesis-publisher.js';
import { deaggregate } from '../../../lib/brokers/kinesis/kpl-decode.js';
import { sharedHashKeys } from '../../../lib/brokers/kinesis/shared-hash-keys.js';
import { environment } from '../../../lib/core/environment.js';
import type { Message } from '../../../lib/core/message.js';
import { choices } from '../../model/random.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import { hold, statuses, type Publishing } from '../../support/kinesis-publishing.js';
import { marbles } from '../../support/marbles.js';

const KIB = 1_024;
const BEGIN_MS = 100;

function publishAll(
  kinesis: FakeKinesis,
  messages: readonly Message[],
  options: Partial<KinesisPublisherOptions> = {},
): Publishing {
  let publishing: Publishing | null = null;
  marbles(({ advanceTo }) => {
    // What is sent again is spread by its jitter.
    environment.random = choices(7).next;
    const { publish, close } = hold({ client: kinesis }, options);
    advanceTo(BEGIN_MS);
    publishing = publish(messages);
    advanceTo(250_000);
    close();
  });
  return publishing as unknown as Publishing;
}

/** What is stored of each key, in order; outside of virtual time, in which nothing of it is too old. */
function valuesByKey({ streams }: FakeKinesis): Map<string, number[]> {
  const values = new Map<string, number[]>();
  for (const { records } of streams.get('orders')?.shards.values() ?? []) {
    for (const { sequenceNumber, key, data } of records) {
      for (const one of deaggregate({ SequenceNumber: sequenceNumber, PartitionKey: key, Data: data }, null)) {
        values.set(one.key ?? '', [
          ...(values.get(one.key ?? '') ?? []),
          new DataView(one.data.buffer, one.data.byteOffset).getUint32(0),
        ]);
      }
    }
  }
  return values;
}

function messageOf(number: number, key: string, bytes: number): Message & { readonly key: string } {
  const value = new Uint8Array(Math.max(4, bytes));
  new DataView(value.buffer).setUint32(0, number);
  return { key, value };
}

describe('what a request of kinesisPublisher carries', () => {
  it('is never refused by the service, whatever the messages are, and all is stored in order', () => {
    const small = fc.integer({ min: 0, max: 300 });
    const large = fc.integer({ min: 900 * KIB, max: KIB * KIB - 200 });
    const bytes = fc.oneof({ weight: 30, arbitrary: small }, { weight: 1, arbitrary: large });
    const key = fc.integer({ min: 0, max: 700 });
    const batches = fc.array(fc.record({ bytes, key }), { maxLength: 700, size: 'max' });
    const packings = fc.constantFrom({}, { aggregate: true }, { aggregate: true, hashKey: sharedHashKeys(8) });
    fc.assert(
      fc.property(batches, packings, (batch, options) => {
        const kinesis = fakeKinesis({ orders: 2 });
        Object.assign(kinesis.limits, { requestBytes: 5 * KIB * KIB, writeBytesPerSecond: Infinity });
        const messages = batch.map(({ bytes, key }, number) => messageOf(number, `${'ü'.repeat(40)}${key}`, bytes));
        const { outcomes } = publishAll(kinesis, messages, options);
        expect(outcomes?.filter(({ status }) => status !== 'ok')).toEqual([]);
        expect(kinesis.calls.filter(({ outcome }) => outcome !== 'answered')).toEqual([]);
        const values = valuesByKey(kinesis);
        expect([...values.values()].reduce((sum, { length }) => sum + length, 0)).toBe(messages.length);
        for (const numbers of values.values()) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      }),
      { numRuns: 60 },
    );
  });

  it('is sent again until the shards have taken it: what takes three seconds at best, in less than twice that', () => {
    const kinesis = fakeKinesis({ orders: 2 });
    kinesis.latencyMs = 20;
    const messages = Array.from({ length: 8_000 }, (_, i) => messageOf(i, `key-${i % 2_000}`, 10));
    const publishing = publishAll(kinesis, messages);
    expect(statuses(publishing)).toMatch(/^ok( ok){7999}$/);
    for (const numbers of valuesByKey(kinesis).values()) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(publishing.at).toBeGreaterThan(BEGIN_MS + 3_000);
    expect(publishing.at).toBeLessThan(BEGIN_MS + 6_000);
  });

  it('is more than 1,000 messages a second of a shard with aggregates', () => {
    const kinesis = fakeKinesis({ orders: 1 });
    const messages = Array.from({ length: 10_000 }, (_, i) => messageOf(i, `key-${i}`, 10));
    const publishing = publishAll(kinesis, messages, { aggregate: true, hashKey: sharedHashKeys(16) });
    expect(statuses(publishing)).toMatch(/^ok( ok){9999}$/);
    expect([publishing.error, publishing.at]).toEqual([null, BEGIN_MS + 1]);
  });

  it.each(['call', 'entry'] as const)(
    'that is too large for the stream alone fails its message, where the %s is refused',
    (tooLarge) => {
      const kinesis = fakeKinesis({ orders: 1 });
      kinesis.tooLarge = tooLarge;
      const messages = [10, 2 * KIB * KIB, 10].map((bytes, i) => messageOf(i, `key-${i}`, bytes));
      const publishing = publishAll(kinesis, messages, { maxRecordBytes: 4 * KIB * KIB });
      expect(statuses(publishing)).toBe('ok permanent ok');
      expect([...valuesByKey(kinesis).values()].flat()).toEqual([0, 2]);
    },
  );

  it('goes on over a reshard', () => {
    const kinesis = fakeKinesis({ orders: 1 });
    kinesis.latencyMs = 10;
    marbles(({ at, advanceTo }) => {
      const { publish, close } = hold({ client: kinesis });
      advanceTo(20);
      const calls = Array.from({ length: 10 }, (_, turn) =>
        publish(Array.from({ length: 20 }, (__, key) => messageOf(turn, `key-${key}`, 10))),
      );
      at(50, () => kinesis.stream('orders').split(0));
      advanceTo(1_000);
      for (const call of calls) expect(statuses(call)).toMatch(/^ok( ok){19}$/);
      close();
    });
    for (const numbers of valuesByKey(kinesis).values()) expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
