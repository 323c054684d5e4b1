import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { of } from 'rxjs';
import * as root from 'rxsluice';
import * as kafka from 'rxsluice/kafka';
import * as kinesis from 'rxsluice/kinesis';
import * as memory from 'rxsluice/memory';
import * as postgres from 'rxsluice/postgres';
import * as pubsub from 'rxsluice/pubsub';
import { isSluiceError, type SluiceError } from '../../lib/core/errors.js';
import { repositoryFile } from '../servers/repository.js';

const any = (value: unknown): never => value as never;
const nothing = (): void => undefined;
const withCalls = (...names: readonly string[]): never => any(Object.fromEntries(names.map((name) => [name, nothing])));

const kafkaClient = withCalls('consumer', 'producer', 'admin');
const kinesisClient = withCalls(
  ...['listShards', 'describeStreamSummary', 'getShardIterator', 'getRecords', 'putRecords'],
  ...['registerStreamConsumer', 'describeStreamConsumer', 'subscribeToShard'],
);
const leases = withCalls('list', 'add', 'write', 'remove');
const outbox = withCalls('claim', 'renew', 'published', 'dead', 'release', 'lag', 'transaction', 'faultOf');
const keys = withCalls('claim', 'renew', 'confirm', 'release');
const db = withCalls('executeQuery', 'withoutPlugins', 'connection');
const pubSub = any({ getClientAsync_: nothing, isOpen: true, projectId: 'p' });
const subscription = any({ name: 's', pubsub: { subscription: nothing, request: nothing } });
const deadLetters = any({ connect: nothing });
const broker = memory.memoryBroker({ topics: { t: {} } });
const delivery = any({});

/** Each function with options: how it is called with them, and what it needs at least. */
const WITH_OPTIONS: Readonly<Record<string, readonly [call: (options: never) => unknown, least: object]>> = {
  exponential: [(options) => root.exponential(options), { initialMs: 100 }],
  handle: [(options) => root.handle(nothing, options), {}],
  settling: [(options) => root.settling(delivery, () => of(1), options), {}],
  ordered: [(options) => root.ordered(options), { by: 'key' }],
  retryToDlq: [(options) => root.retryToDlq(options), { deadLetters }],
  batch: [(options) => root.batch(options), { maxSize: 2, maxWaitMs: 10 }],
  split: [(options) => root.split(() => [], options), {}],
  dedupe: [(options) => root.dedupe(options), { key: () => 'k', store: keys }],
  publishTo: [(options) => root.publishTo(deadLetters, nothing as never, options), {}],
  topicPublisher: [(options) => root.topicPublisher(() => deadLetters, options), {}],
  withOutbox: [(options) => root.withOutbox(outbox, nothing, options), {}],
  fromOutbox: [(options) => root.fromOutbox(outbox, options), {}],
  memoryBroker: [(options) => memory.memoryBroker(options), {}],
  fromMemory: [(options) => memory.fromMemory(broker, options), { groupId: 'g', topics: ['t'] }],
  memoryPublisher: [(options) => memory.memoryPublisher(broker, options), { topic: 't' }],
  memoryIdempotencyStore: [(options) => memory.memoryIdempotencyStore(options), {}],
  memoryOutboxStore: [(options) => memory.memoryOutboxStore(options), {}],
  fromKafka: [(options) => kafka.fromKafka(kafkaClient, options), { groupId: 'g', topics: ['t'] }],
  kafkaPublisher: [(options) => kafka.kafkaPublisher(kafkaClient, options), { topic: 't' }],
  fromKinesis: [(options) => kinesis.fromKinesis(kinesisClient, options), { stream: 's', consumer: 'c', leases }],
  kinesisPublisher: [(options) => kinesis.kinesisPublisher(kinesisClient, options), { stream: 's' }],
  fromPubSub: [(options) => pubsub.fromPubSub(subscription, options), {}],
  pubsubPublisher: [(options) => pubsub.pubsubPublisher(pubSub, options), { topic: 't' }],
  postgresIdempotencyStore: [(options) => postgres.postgresIdempotencyStore(db, options), { consumer: 'c' }],
  postgresOutboxStore: [(options) => postgres.postgresOutboxStore(db, options), {}],
  postgresLeaseStore: [(options) => postgres.postgresLeaseStore(db, options), {}],
  postgresPurge: [(options) => postgres.postgresPurge(db, options), {}],
  postgresDoctor: [(options) => postgres.postgresDoctor(db, options), {}],
  postgresMigrations: [(options) => postgres.postgresMigrations(options), {}],
  postgresSchema: [(options) => postgres.postgresSchema(options), {}],
};

/** What stands beside the options, by the name that an error gives it. */
const BESIDE: readonly (readonly [owner: string, option: string, call: (given: never) => unknown])[] = [
  ['constant', 'ms', (ms) => root.constant(ms)],
  ['handle', 'fn', (fn) => root.handle(fn)],
  ['settling', 'work', (work) => root.settling(delivery, work)],
  ['mapValue', 'fn', (fn) => root.mapValue(fn)],
  ['filterValue', 'predicate', (predicate) => root.filterValue(predicate)],
  ['split', 'fn', (fn) => root.split(fn as () => [])],
  ['decode', 'codec', (codec) => root.decode(codec)],
  ['json', 'schema', (schema) => root.json(schema)],
  ['text', 'schema', (schema) => root.text(schema)],
  ['fanOut', 'branches', (branch) => root.fanOut(branch)],
  ['publishTo', 'publisher', (publisher) => root.publishTo(publisher)],
  ['publishTo', 'toMessage', (toMessage) => root.publishTo(deadLetters, toMessage as () => never)],
  ['topicPublisher', 'publisherOf', (publisherOf) => root.topicPublisher(publisherOf)],
  ['withOutbox', 'store', (store) => root.withOutbox(store, nothing)],
  ['withOutbox', 'handler', (handler) => root.withOutbox(outbox, handler)],
  ['fromOutbox', 'store', (store) => root.fromOutbox(store)],
  ['fromMemory', 'broker', (given) => memory.fromMemory(given, { groupId: 'g', topics: ['t'] })],
  ['memoryPublisher', 'broker', (given) => memory.memoryPublisher(given, { topic: 't' })],
  ['fromKafka', 'client', (client) => kafka.fromKafka(client, { groupId: 'g', topics: ['t'] })],
  ['kafkaPublisher', 'client', (client) => kafka.kafkaPublisher(client, { topic: 't' })],
  ['fromKinesis', 'client', (client) => kinesis.fromKinesis(client, { stream: 's', consumer: 'c', leases })],
  ['kinesisPublisher', 'client', (client) => kinesis.kinesisPublisher(client, { stream: 's' })],
  ['sharedHashKeys', 'count', (count) => kinesis.sharedHashKeys(count)],
  ['fromPubSub', 'subscription', (given) => pubsub.fromPubSub(given, {})],
  ['pubsubPublisher', 'pubsub', (given) => pubsub.pubsubPublisher(given, { topic: 't' })],
  ['postgresIdempotencyStore', 'db', (given) => postgres.postgresIdempotencyStore(given, { consumer: 'c' })],
  ['postgresOutboxStore', 'db', (given) => postgres.postgresOutboxStore(given)],
  ['postgresLeaseStore', 'db', (given) => postgres.postgresLeaseStore(given)],
  ['postgresPurge', 'db', (given) => postgres.postgresPurge(given)],
  ['postgresDoctor', 'db', (given) => postgres.postgresDoctor(given)],
];

const SECRET = 'a text of the user that is not a name and that nobody is to see';

/** Wrong values of each kind, and what an error says that they are. */
const WRONG: readonly (readonly [value: unknown, told: RegExp])[] = [
  [null, /null/],
  [true, /true/],
  [-1, /-1/],
  [0.5, /0\.5/],
  [NaN, /NaN/],
  [Infinity, /Infinity/],
  ['begin', /'begin'|a string/],
  ['', /an empty string/],
  [SECRET, /a string/],
  [[], /an empty array/],
  [[{}, 'begin'], /an array of: an object, ('begin'|a string)/],
  [{}, /an object/],
  [Symbol('s'), /a symbol/],
  [1n, /a bigint/],
  [nothing, /a function/],
];

function errorOf(call: () => unknown): SluiceError | null {
  try {
    call();
    return null;
  } catch (error) {
    if (isSluiceError(error)) return error;
    throw new Error('An error that is not typed was thrown.', { cause: error });
  }
}

/** The option, what it may be, what was given: in one sentence, without a word that is wrong English. */
function checkText(owner: string, option: string, told: RegExp, { code, message }: SluiceError): void {
  expect(code).toBe('invalid-options');
  const [, allowed, given] = /^[^:]+: \w+ must be (.+), not (.+)\.$/.exec(message) ?? [];
  expect(message).toContain(`${owner}: ${option} must be `);
  expect(allowed?.length).toBeGreaterThan(3);
  expect(given).toMatch(told);
  expect(message).not.toContain(SECRET);
  expect(message).not.toMatch(/\ba [aeio]\w+\b|undefined \(|NaN \(/);
}

/** All options that a function has, as it says itself where it is given one that it has not. */
function optionsOf(call: (options: never) => unknown, least: object): string[] {
  const message = errorOf(() => call(any({ ...least, zzz: 1 })))?.message ?? '';
  expect(message).toContain('there is no option zzz');
  return (/there are (.+)\.$/.exec(message)?.[1] ?? '').split(', ');
}

describe.each(Object.entries(WITH_OPTIONS))('%s', (owner, [call, least]) => {
  const options = optionsOf(call, least);

  it.each(options)('says what %s may be, and what was given', (option) => {
    let refused = 0;
    for (const [value, told] of WRONG) {
      const error = errorOf(() => call(any({ ...least, [option]: value })));
      if (error === null) continue;
      refused++;
      checkText(owner, option, told, error);
    }
    // What takes any number, or any object, refuses the rest.
    expect(refused).toBeGreaterThan(5);
  });

  it.each([[null], ['options'], [[]], [5]])('refuses %p in the place of its options, typed', (given) => {
    expect(errorOf(() => call(any(given)))?.message).toMatch(
      new RegExp(`^${owner}: the options must be an object with .+, not .+\\.$`),
    );
  });

  it('says which are missing', () => {
    for (const option of Object.keys(least)) {
      const error = errorOf(() => call(any({ ...least, [option]: undefined })));
      if (error !== null) checkText(owner, option, /undefined/, error);
    }
    if (Object.keys(least).length > 0) expect(errorOf(() => call(any({})))).not.toBeNull();
  });
});

describe('what stands beside the options', () => {
  it.each(BESIDE)('%s says what %s may be, and what was given', (owner, option, call) => {
    let refused = 0;
    for (const [value, told] of WRONG) {
      const error = errorOf(() => call(any(value)));
      if (error === null) continue;
      refused++;
      // The branches of a fanOut are an array by themselves.
      checkText(owner, option, option === 'branches' ? /an array of: / : told, error);
    }
    expect(refused).toBeGreaterThan(5);
  });
});

describe('a limit that follows from another option', () => {
  const least = { groupId: 'g', topics: ['t'] };

  it.each<readonly [unknown, string]>([
    [
      { sessionTimeoutMs: 10_000 },
      'sessionTimeoutMs must be a whole number, at least 6000 and above drainTimeoutMs (10000) and',
    ],
    [
      { rebalanceTimeoutMs: 5_000 },
      'rebalanceTimeoutMs must be a whole number, above drainTimeoutMs (10000) and at most',
    ],
    [{ heartbeatIntervalMs: 20_000 }, 'at most a third of sessionTimeoutMs (10000), not 20000'],
    [{ maxSpan: 10 }, 'maxSpan must be a whole number, at least maxInFlight (1000) and'],
    [{ drainTimeoutMs: 1_790_000 }, 'above drainTimeoutMs (1790000) and at most 1800000, not 1810000, its default.'],
  ])('names it: %p', (options, text) => {
    expect(errorOf(() => kafka.fromKafka(kafkaClient, any({ ...least, ...(options as object) })))?.message).toContain(
      text,
    );
  });

  it('of others, too', () => {
    const { message: span } = errorOf(() => root.exponential({ initialMs: 60_000 })) as SluiceError;
    expect(span).toBe(
      'exponential: maxMs must be a number, at least initialMs (60000) and at most 2147483647, not 30000, its default.',
    );
    const { message: extension } = errorOf(() => pubsub.fromPubSub(subscription, { maxExtensionMs: 1 })) as SluiceError;
    expect(extension).toContain('at least ackDeadlineMs (60000)');
    const options = { stream: 's', aggregate: true, maxAggregateBytes: 2_000_000 };
    expect(errorOf(() => kinesis.kinesisPublisher(kinesisClient, options))?.message).toContain(
      'at most maxRecordBytes (1048576)',
    );
  });
});

it('holds for every function with options in the API report', async () => {
  const report = await readFile(repositoryFile('etc/rxsluice.api.md'), 'utf8');
  const all = [...report.matchAll(/function ([a-z]\w*)(?:<.*?>)?\(.*\boptions\??: (?!never)\w*(?:Options|\{)/g)].map(
    ([, name]) => name as string,
  );
  const takers = [...new Set(all)].filter((name) => !TAKES_OTHERS.has(name));
  expect(takers.filter((name) => !(name in WITH_OPTIONS))).toEqual([]);
  expect(takers.length).toBeGreaterThan(20);
});

/** They pass options on, or have none that are the user's to set. */
const TAKES_OTHERS = new Set<string>();
