import { describe, expect, it } from '@jest/globals';
import { of, type OperatorFunction } from 'rxjs';
import { encodeMessage as encodeForKafka } from '../../lib/brokers/kafka/kafka-outgoing.js';
import { encodeMessage as encodeForKinesis } from '../../lib/brokers/kinesis/kinesis-outgoing.js';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { encodeMessage as encodeForPubSub } from '../../lib/brokers/pubsub/pubsub-outgoing.js';
import { checkOptions } from '../../lib/core/options.js';
import { ownMessage } from '../../lib/core/own-message.js';
import { publish } from '../../lib/core/publish.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { filterValue } from '../../lib/operators/filter-value.js';
import { ordered } from '../../lib/operators/ordered.js';
import { publishTo } from '../../lib/operators/publish-to.js';
import { run } from '../../lib/operators/run.js';
import { split } from '../../lib/operators/split.js';
import { topicPublisher } from '../../lib/operators/topic-publisher.js';
import { withOutbox } from '../../lib/operators/with-outbox.js';
import { marbles } from '../support/marbles.js';
import { fakeOutbox } from '../support/outbox-store.js';
import { fakePublisher } from '../support/publishers.js';
import { fakeStore } from '../support/stores.js';

const KINDS: readonly unknown[] = [
  undefined,
  null,
  NaN,
  5,
  5n,
  true,
  Symbol('x'),
  {},
  [],
  [{}],
  () => 1,
  Promise.resolve(1),
  new Date(0),
  new Error('x'),
  new Map(),
  new DataView(new ArrayBuffer(1)),
];

const RIGHT =
  /(undefined|null|NaN|bytes|not 5|not true|an? (object|array|empty array|Error)|a (string|number|bigint|boolean|symbol|function|Promise|Date))/;
const WRONG =
  /\b(a (object|array|undefined|null|NaN|bytes|error)|an (string|number|bigint|boolean|symbol|function|Promise|Date|undefined|null)|\[object)\b/i;

function textOf(call: () => unknown): string | null {
  try {
    call();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

const refuse = (why: string): never => {
  throw new Error(why);
};
const ofKinesis = { partitionKey: undefined, hashKey: undefined, headers: 'json', maxRecordBytes: 1_000 } as const;
const ofPubSub = { orderingKey: undefined, attributes: undefined };

const PUBLISHED: Readonly<Record<string, (message: never) => unknown>> = {
  kafka: (message) => encodeForKafka(message, 1, () => 0),
  kinesis: (message) => encodeForKinesis(message, ofKinesis),
  pubsub: (message) => encodeForPubSub(message, ofPubSub),
  outbox: (message) => ownMessage(Object.assign({ topic: 't' }, message), refuse),
  memory: (message) => {
    const outcomes: unknown[] = [];
    const publisher = memoryPublisher(memoryBroker({ topics: { t: {} } }), { topic: 't' });
    publish(publisher, [message]).subscribe((all) => outcomes.push(...all));
    const [{ error }] = outcomes as [{ error?: Error }];
    if (error !== undefined) throw error;
  },
};

/** Each nacks its message with a text that names a kind. */
const OPERATORS: Readonly<Record<string, (given: unknown) => OperatorFunction<never, never>>> = {
  filterValue: (given) => filterValue((() => given) as never) as never,
  split: (given) => split((() => given) as never) as never,
  publishTo: (given) => publishTo(fakePublisher(), (() => given) as never) as never,
  ordered: (given) => ordered({ by: (() => given) as never }),
  dedupe: (given) => dedupe({ key: (() => given) as never, store: fakeStore() }) as never,
  withOutbox: (given) => withOutbox(fakeOutbox(), () => of(1), { consumer: 'c', key: (() => given) as never }) as never,
  topicPublisher: (given) =>
    publishTo(topicPublisher((() => given) as never), (() => ({ topic: 't', value: 'x' })) as never) as never,
};

describe('the kind of what was given, in a text', () => {
  it.each(Object.entries(PUBLISHED))('has its article: %s', (_, encode) => {
    const texts = KINDS.flatMap((kind) => [
      textOf(() => encode({ value: kind } as never)),
      textOf(() => encode({ value: 'x', key: kind } as never)),
      textOf(() => encode({ value: 'x', headers: { h: kind } } as never)),
      textOf(() => encode({ value: 'x', headers: { h: [kind] } } as never)),
    ]).filter((text) => text !== null);
    expect(texts.length).toBeGreaterThan(KINDS.length);
    expect(texts.filter((text) => WRONG.test(text))).toEqual([]);
  });

  it.each(Object.entries(OPERATORS))('has its article: %s', (_, operator) =>
    marbles(({ log, drive, advanceTo }) => {
      const texts: string[] = [];
      KINDS.forEach((kind, index) => {
        const source = log();
        drive(source.texts.pipe(operator(kind) as never));
        source.publish('a');
        advanceTo((index + 1) * 200);
        for (const { event } of source.eventsOf('retried')) texts.push((event.reason as Error).message);
        for (const { event } of source.eventsOf('unavailable')) texts.push((event.error as Error).message);
      });
      expect(texts.length).toBeGreaterThan(0);
      expect(texts.filter((text) => WRONG.test(text))).toEqual([]);
    }),
  );

  it('has its article in what options and the entry of an operator say', () => {
    const texts = KINDS.flatMap((kind) => {
      const rule = { required: true, that: { be: 'right', holds: () => false } };
      let ended: unknown;
      of(kind)
        .pipe(ackEach() as never)
        .subscribe({ error: (error: unknown) => (ended = error) });
      return [
        textOf(() => checkOptions('owner', { option: kind }, { option: rule })),
        textOf(() => run(kind as never)),
        (ended as Error).message,
      ];
    });
    expect(texts).toHaveLength(KINDS.length * 3);
    expect(texts.filter((text) => text === null || WRONG.test(text) || !RIGHT.test(text))).toEqual([]);
  });
});
