import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hashKeyOf } from '../../../lib/brokers/kinesis/hash-key.js';
import type { KinesisPublisherOptions } from '../../../lib/brokers/kinesis/kinesis-publisher.js';
import type { KinesisPosition } from '../../../lib/brokers/kinesis/kinesis-record.js';
import { createAggregator } from '../../../lib/brokers/kinesis/kpl-encode.js';
import { deaggregate } from '../../../lib/brokers/kinesis/kpl-decode.js';
import { sharedHashKeys } from '../../../lib/brokers/kinesis/shared-hash-keys.js';
import type { Message } from '../../../lib/core/message.js';
import { sdkError } from '../../support/kinesis-fake-errors.js';
import { putFake, type PutFake } from '../../support/kinesis-put-fake.js';
import { hold, numbered, statuses, type Publishing } from '../../support/kinesis-publishing.js';
import { marbles } from '../../support/marbles.js';
import { refusal } from '../../support/options.js';

/** The messages of each record of each request: `a1+a2 b1 | a3`. */
function packed({ requests }: PutFake): string {
  const tell = ({ key, data }: { key: string; data: Uint8Array }): string =>
    deaggregate({ SequenceNumber: '1', PartitionKey: key, Data: data }, null)
      .map((message) => new TextDecoder().decode(message.data))
      .join('+');
  return requests.map(({ records }) => records.map(tell).join(' ')).join(' | ');
}

function publishAll(
  messages: readonly Message[],
  options: Partial<KinesisPublisherOptions> = {},
  fake = putFake(),
): { fake: PutFake; call: Publishing } {
  let call: Publishing | null = null;
  marbles(({ advanceTo }) => {
    const { publish, close } = hold(fake, { aggregate: true, maxRequests: 1, ...options });
    call = publish(messages);
    advanceTo(60_000);
    close();
  });
  return { fake, call: call as unknown as Publishing };
}

function positionsOf({ outcomes }: Publishing): (string | null)[] {
  return (outcomes ?? []).map((outcome) => {
    if (outcome.status !== 'ok') return null;
    const { sequenceNumber, subSequenceNumber } = outcome.position as KinesisPosition;
    return `${sequenceNumber.slice(-9)}/${subSequenceNumber ?? 'whole'}`;
  });
}

describe('aggregate', () => {
  it('puts the messages of a key that wait in one record, and one alone as it is', () => {
    const { fake, call } = publishAll(numbered('a1 b1 a2 c1 a3 c2'));
    expect(packed(fake)).toBe('a1+a2+a3 b1 c1+c2');
    const [a, b, c] = fake.stored.map(({ sequenceNumber }) => sequenceNumber.slice(-9));
    expect(positionsOf(call)).toEqual([`${a}/0`, `${b}/whole`, `${a}/1`, `${c}/0`, `${a}/2`, `${c}/1`]);
  });

  it('gathers what comes of a key while its record is out', () => {
    const fake = putFake();
    marbles(({ at, advanceTo }) => {
      const { publish, close } = hold(fake, { aggregate: true });
      publish(numbered('a1'));
      at(2, () => publish(numbered('a2 b1')));
      at(4, () => publish(numbered('a3')));
      advanceTo(100);
      close();
    });
    expect(packed(fake)).toBe('a1 | b1 | a2+a3');
  });

  it('has at most maxAggregateBytes in one, its key included; a larger message goes alone', () => {
    const { fake } = publishAll(
      ['x'.repeat(200), '1', '2', '3', 'y'.repeat(200), '4'].map((value) => ({ key: 'k', value })),
      { maxAggregateBytes: 42 },
    );
    expect(packed(fake)).toBe(`${'x'.repeat(200)} | 1+2 | 3 | ${'y'.repeat(200)} | 4`);
    for (const { data, key } of fake.stored) expect(data.length + key.length <= 42 || data.length === 200).toBe(true);
  });

  it('sends a record again as it is, and gives it up as a whole', () => {
    const fake = putFake();
    fake.judge = ({ key }, request) =>
      key === 'a' && request < 2 ? 'ProvisionedThroughputExceededException' : 'stored';
    const { call } = publishAll(numbered('a1 a2 b1'), {}, fake);
    expect([packed(fake), statuses(call)]).toEqual(['a1+a2 b1 | a1+a2 | a1+a2', 'ok ok ok']);

    const out = putFake();
    out.judge = ({ key }) => (key === 'a' ? 'ProvisionedThroughputExceededException' : 'stored');
    expect(statuses(publishAll(numbered('a1 a2 b1'), { retryTimeoutMs: 0 }, out).call)).toBe('transient transient ok');
  });

  it('refuses all messages of a record that Kinesis will never take', () => {
    const fake = putFake();
    fake.judge = ({ key }) => (key === 'a' ? 'InvalidArgumentException' : 'stored');
    expect(statuses(publishAll(numbered('a1 a2 b1'), {}, fake).call)).toBe('permanent permanent ok');
  });

  it('whose call fails for another record fails those behind it in the same record, so that the order is kept', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      fake.fail = (_, request) => (request < 2 ? { error: sdkError({ code: 'ECONNRESET' }) } : null);
      fake.latencyMs = () => (fake.requests.length === 2 ? 50 : 10);
      const { publish, close } = hold(fake, { aggregate: true, maxBatch: 1, maxRequests: 2 });
      const persist = (text: string): void =>
        void publish(numbered(text), ({ error }) => {
          if (error !== null) persist(text);
        });
      for (const text of ['a1 b1', 'b2']) persist(text);
      advanceTo(500);
      expect(packed(fake)).toBe('a1 | b1+b2 | a1 | b1+b2');
      close();
    });
  });

  it('leaves out of a record what is let go before it is made', () => {
    const fake = putFake();
    marbles(({ advanceTo }) => {
      const { publish, close } = hold(fake, { aggregate: true });
      const [, gone] = [publish(numbered('a1')), publish(numbered('a2')), publish(numbered('a3'))];
      gone.letGo();
      advanceTo(100);
      close();
    });
    expect(packed(fake)).toBe('a1+a3');
  });

  it('puts messages without a key together, under one made-up key', () => {
    const { fake, call } = publishAll(
      Array.from({ length: 10 }, (_, i) => ({ value: String(i) })),
      {
        maxAggregateBytes: 80,
      },
    );
    expect(packed(fake)).toMatch(/^0(\+\d)+ \d(\+\d)+( |$)/);
    expect(packed(fake).replaceAll(' ', '+')).toBe('0+1+2+3+4+5+6+7+8+9');
    expect(statuses(call)).not.toContain('permanent');
  });

  it('wraps one alone that looks like an aggregate, so that it is read as it was published', () => {
    const inner = createAggregator({ maxBytes: 1_000 });
    inner.add('k', new TextEncoder().encode('x'));
    inner.add('k', new TextEncoder().encode('y'));
    const value = inner.finish()?.Data as Uint8Array;
    const { fake, call } = publishAll([{ key: 'k', value }]);
    const [stored] = fake.stored;
    const read = deaggregate({ SequenceNumber: '1', PartitionKey: 'k', Data: stored?.data }, null);
    expect(read.map(({ data }) => Buffer.from(data).equals(value))).toEqual([true]);
    expect(positionsOf(call)).toEqual([expect.stringMatching(/\/0$/)]);
    // Where it has no room for its wrapping it goes as it is.
    const bare = publishAll([{ key: 'k', value }], { maxRecordBytes: value.length + 1 });
    expect(bare.fake.stored[0]?.data).toBe(value);
  });

  it('has room by its bytes in a request that lingers', () => {
    const fake = putFake();
    marbles(({ at, advanceTo }) => {
      const { publish, close } = hold(fake, { aggregate: true, lingerMs: 100, maxBatch: 2, maxAggregateBytes: 100 });
      for (let ms = 0; ms < 20; ms += 5) at(ms, () => publish(numbered('a1 a2 a3')));
      at(30, () => publish(numbered('b1')));
      advanceTo(500);
      close();
    });
    expect(fake.requests.map(({ at, records }) => `${at}: ${records.length}`)[0]).toBe('30: 2');
  });
});

describe('sharedHashKeys', () => {
  const hashKeyFor = (count: number, key: string): bigint => BigInt(sharedHashKeys(count)({ value: '' }, key));

  it('gives the keys of a range of hash keys the first of it', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 1_000 }), (key, count) => {
        const [own, shared] = [hashKeyOf(key), hashKeyFor(count, key)];
        const range = (hashKey: bigint): bigint => (hashKey * BigInt(count)) / 2n ** 128n;
        expect(range(shared)).toBe(range(own));
        expect(shared <= own).toBe(true);
        if (shared > 0n) expect(range(shared - 1n)).toBe(range(own) - 1n);
      }),
    );
  });

  it('lets many keys share records, which stay together by a split', () => {
    const messages = Array.from({ length: 2_000 }, (_, i) => ({ key: `user-${i}`, value: String(i) }));
    const { fake, call } = publishAll(messages, { hashKey: sharedHashKeys(16) });
    expect(statuses(call)).not.toMatch(/permanent|transient/);
    expect(fake.stored.length).toBeLessThanOrEqual(17);
    fake.stream.split(0);
    for (const { shard, hashKey } of fake.stored) {
      expect(fake.stream.shards.get(Number(shard.slice(-12)))?.hashKeys[0]).toBeLessThanOrEqual(BigInt(hashKey ?? -1));
    }
  });

  it('wants a whole number of ranges', () => {
    for (const count of [0, 1.5, 65_537])
      expect(refusal(() => sharedHashKeys(count))).toContain('sharedHashKeys: count must be');
  });
});
