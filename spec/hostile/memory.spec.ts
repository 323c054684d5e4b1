import { describe, expect, it } from '@jest/globals';
import { count, lastValueFrom } from 'rxjs';
import { ackEach, type Position } from '../../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher, type MemoryPosition } from '../../lib/memory.js';
import { MOST_TEXT_BYTES } from '../secrets/our-texts.js';
import { corpusFor, mix } from '../support/hostile-corpus/corpus.js';
import { CANARY } from '../support/hostile-corpus/entry.js';
import { expectSound } from '../support/hostile-corpus/expect-sound.js';
import { printedWithoutTelemetry, type CorpusDriver } from '../support/hostile-corpus/run-corpus.js';
import { randomSeed } from '../support/seed.js';

const MOST_BYTES = 1_048_588;
const MOST = { rss: 1_200, heap: 900 };
const SHAPE = { broker: 'memory', mostBytes: MOST_BYTES - 1, flood: 100_000 } as const;

const seed = randomSeed();

describe(`what would do harm, among 10,000 good messages of a memory broker, seed ${seed}`, () => {
  it.each(['headers', 'json'] as const)(
    'is done, a dead letter or refused, each as it should; dead letters as %s',
    (format) => expectSound(memoryDriver(), SHAPE, { seed, format, most: MOST }),
  );

  it('is told by warnings that are short, few and show no payload, where nothing is configured', async () => {
    const items = mix(1_000, corpusFor({ ...SHAPE, flood: 10 }, 'headers', seed), seed);
    const driver = memoryDriver();
    const printed = await printedWithoutTelemetry(driver, items, 'headers');
    expect((await driver.letters()).length).toBeGreaterThan(100);
    expect(printed.length).toBeGreaterThan(10);
    // 64 kinds at most, the first of each and what is left of it at the end.
    expect(printed.length).toBeLessThan(150);
    for (const text of printed) {
      expect(text).not.toContain(CANARY);
      expect(Buffer.byteLength(text)).toBeLessThan(MOST_TEXT_BYTES);
    }
  });
});

function memoryDriver(): CorpusDriver {
  const maxMessageBytes = MOST_BYTES;
  const broker = memoryBroker({ topics: { in: { partitions: 4, maxMessageBytes }, dlq: { maxMessageBytes } } });
  const groupId = 'billing';
  return {
    publisher: memoryPublisher(broker, { topic: 'in' }),
    deadLetters: memoryPublisher(broker, { topic: 'dlq' }),
    source: (options) => fromMemory(broker, { ...options, groupId, topics: ['in'] }),
    idOf: (position: Position) => {
      const { topic, partition, offset } = position as MemoryPosition;
      return `${topic}/${partition}/${offset}`;
    },
    letters: () =>
      Promise.resolve(
        broker.messages('dlq').map(({ headers, value }) => ({
          headers: Object.fromEntries(Object.entries(headers).map(([name, given]) => [name, textOf(given)])),
          bytes: value?.length ?? 0,
        })),
      ),
    leftOver: () =>
      lastValueFrom(fromMemory(broker, { groupId, topics: ['in'], until: 'end' }).pipe(ackEach(), count())),
  };
}

function textOf(value: unknown): unknown {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : value;
}
