import { catchError, defer, from, last, map, Observable, of, switchMap, take, takeUntil, Subject, timer } from 'rxjs';
import type { Message, Publisher, PublisherConnection, PublishOutcome } from '../../lib/index.js';
import type { PublisherDriver, PublisherTestBed } from '../../lib/testing.js';
import { memoryPublisherDriver } from '../conformance/memory-drivers.js';
import { changeHeaders, lastOnly, leaveATimer, MUTANT_TIMINGS, throughText, type Mutant } from './mutant.js';

type Change = (publisher: Publisher, topic: string, bed: PublisherTestBed) => Publisher;
type Publish = PublisherConnection['publish'];

/** The memory broker's publisher with a defect between it and the suite. */
function broken(change: Change): PublisherDriver {
  return {
    ...memoryPublisherDriver,
    timings: MUTANT_TIMINGS,
    open: async () => {
      const bed = await memoryPublisherDriver.open();
      return { ...bed, publisher: (topic) => change(bed.publisher(topic), topic, bed) };
    },
  };
}

/** Each connection's `publish` in another way. */
const publishing =
  (wrap: (publish: Publish) => Publish): Change =>
  (publisher) => ({
    connect: () => publisher.connect().pipe(map(({ publish }) => ({ publish: wrap(publish) }))),
  });

const storing = (change: (message: Message, index: number) => Message): Change =>
  publishing((publish) => (messages) => publish(messages.map(change)));

const answering = (change: (outcomes: readonly PublishOutcome[]) => readonly PublishOutcome[]): Change =>
  publishing((publish) => (messages) => from(publish(messages)).pipe(map(change)));

/** Connects to a topic that is not there too, and answers what is published to it so. */
const connectingAnyway =
  (outcome: PublishOutcome): Change =>
  (publisher) => ({
    connect: () =>
      publisher
        .connect()
        .pipe(catchError(() => of<PublisherConnection>({ publish: (messages) => of(messages.map(() => outcome)) }))),
  });

const OUT: PublishOutcome = { status: 'transient', error: new Error('closed') };

/** Whoever lets go closes it for all, for good. */
const closesForAll = (): Change => {
  let isClosed = false;
  return (publisher) => ({
    connect: () =>
      new Observable((subscriber) => {
        subscriber.add(
          publisher
            .connect()
            .pipe(
              map(({ publish }) => ({
                publish: (messages: readonly Message[]) => (isClosed ? of(messages.map(() => OUT)) : publish(messages)),
              })),
            )
            .subscribe(subscriber),
        );
        subscriber.add(() => (isClosed = true));
      }),
  });
};

export const publisherMutants: readonly Mutant<PublisherDriver>[] = [
  {
    name: 'connects when it is made',
    driver: broken((publisher) => {
      leaveATimer();
      return publisher;
    }),
    caughtBy: '1 opens nothing before somebody connects',
    seen: /^Nobody subscribed, and these were opened: an interval/,
  },
  {
    name: 'completes after its connection',
    driver: broken((publisher) => ({ connect: () => publisher.connect().pipe(take(1)) })),
    caughtBy: '1 emits one connection that stays open',
    seen: /stay open; it is completed after 1/,
  },
  {
    name: 'closes for all when one lets go',
    driver: broken(closesForAll()),
    caughtBy: '1 emits one connection that stays open',
    seen: /^One of two let go, and the other's publish is transient/,
  },
  {
    name: 'stores values as text',
    driver: broken(storing((message) => ({ ...message, value: throughText(message.value) }))),
    caughtBy: '2 stores values as they are',
    seen: /^256 bytes \(00 01 02.* was published; stored:/,
  },
  {
    name: 'makes a tombstone of an empty value',
    driver: broken(storing((message) => ({ ...message, value: message.value?.length ? message.value : null }))),
    caughtBy: '2 stores empty values',
    seen: /^'' was published; stored: null, 'after it'/,
  },
  {
    name: 'makes an empty value of a tombstone',
    driver: broken(storing((message) => ({ ...message, value: message.value ?? '' }))),
    caughtBy: '2 stores tombstones',
    seen: /^null was published; stored: '', 'after it'/,
  },
  {
    name: 'stores keys as text',
    driver: broken(storing((message) => ({ ...message, key: throughText(message.key ?? null) }))),
    caughtBy: '2 stores keys of any bytes',
    seen: /^The key 256 bytes .* is stored as/,
  },
  {
    name: 'gives a key to what has none',
    driver: broken(storing((message) => ({ ...message, key: message.key ?? '' }))),
    caughtBy: '2 stores the want of a key',
    seen: /^The key null is stored as ''/,
  },
  {
    name: 'loses headers',
    driver: broken(storing(({ headers: _, ...message }) => message)),
    caughtBy: '2, 33 stores headers',
    seen: /header traceparent was sent as '00-4bf.* and came as nothing/,
  },
  {
    name: 'stores headers as text',
    driver: broken(
      storing((message) => ({
        ...message,
        headers: changeHeaders(message.headers ?? {}, (value) => throughText(value as Uint8Array)),
      })),
    ),
    caughtBy: '2 stores headers of any bytes',
    seen: /header raw was sent as 256 bytes/,
  },
  {
    name: 'stores the last of repeated headers',
    driver: broken(storing((message) => ({ ...message, headers: changeHeaders(message.headers ?? {}, lastOnly) }))),
    caughtBy: '2 stores repeated headers',
    seen: /header twice was sent as 'first', 1 bytes \(ff\) and came as 1 bytes \(ff\)/,
  },
  {
    name: 'stamps messages itself',
    driver: broken(storing(({ timestamp: _, ...message }) => message)),
    caughtBy: '2 stores the time-stamp',
    seen: /^The time-stamp \d+ is stored as \d+/,
  },
  {
    name: 'answers once a call',
    driver: broken(answering((outcomes) => outcomes.slice(0, 1))),
    caughtBy: '2 answers with one outcome a message',
    seen: /^20 messages were published, and the outcomes are ok\./,
  },
  {
    name: 'says ok and stores the first of a call',
    driver: broken(
      publishing(
        (publish) => (messages) =>
          from(publish(messages.slice(0, 1))).pipe(map(([first]) => messages.map(() => first as PublishOutcome))),
      ),
    ),
    caughtBy: '2 answers with one outcome a message',
    seen: /^1 of 20 messages are stored/,
  },
  {
    name: 'has calls overtake each other',
    driver: broken(
      publishing((publish) => {
        let calls = 0;
        return (messages) => timer(calls++ % 2 === 0 ? 10 : 0).pipe(switchMap(() => publish(messages)));
      }),
    ),
    caughtBy: '3 keeps the order of a key, within a call',
    seen: /was published at \d+ of its key, and key-\d\/m\d+ is stored there/,
  },
  {
    name: 'ignores the key',
    driver: broken(storing((message, index) => ({ ...message, partition: index % 4 }))),
    caughtBy: '3 keeps the order of a key, within a call',
    seen: /^key-\d is in partitions .*: its order is lost/,
  },
  {
    name: 'places keys by its connection',
    driver: broken(
      (() => {
        let connections = 0;
        return (publisher: Publisher) => {
          const shift = connections++;
          return storing((message, index) => ({ ...message, partition: (index + shift) % 4 }))(
            publisher,
            '',
            null as never,
          );
        };
      })(),
    ),
    caughtBy: '3 keeps a key in its partition over connections',
    seen: /^In another partition after a new connection: key-0/,
  },
  {
    name: 'ignores an explicit partition',
    driver: broken(storing(({ partition: _, ...message }) => message)),
    caughtBy: '3 keeps an explicit partition',
    seen: /^'for \d' is in partition \d/,
  },
  {
    name: 'publishes to the first topic that it saw',
    driver: broken(
      (() => {
        let first: Publisher | null = null;
        return (publisher: Publisher) => (first ??= publisher);
      })(),
    ),
    caughtBy: '4 keeps topics apart',
    seen: /^0 of 1 messages are stored|holds left, right/,
  },
  {
    name: 'drops what waits when the last lets go',
    driver: broken((publisher) => ({
      connect: () =>
        new Observable((subscriber) => {
          const closed = new Subject<void>();
          subscriber.add(() => closed.next());
          subscriber.add(
            publisher.connect().subscribe(({ publish }) => {
              const send = (messages: readonly Message[]) =>
                timer(5).pipe(
                  switchMap(() => publish(messages)),
                  takeUntil(closed),
                );
              subscriber.next({
                publish: (messages) =>
                  defer(() => send(messages)).pipe(
                    last(
                      null,
                      messages.map(() => OUT),
                    ),
                  ),
              });
            }),
          );
        }),
    })),
    caughtBy: '16 stores what it was given before the last let go',
    seen: /1000 were answered, 1000 of them as not stored/,
  },
  {
    name: 'says ok for what it dropped when the last let go',
    driver: broken((publisher) => ({
      connect: () =>
        new Observable((subscriber) => {
          let isClosed = false;
          subscriber.add(() => (isClosed = true));
          subscriber.add(
            publisher.connect().subscribe(({ publish }) =>
              subscriber.next({
                publish: (messages) =>
                  timer(5).pipe(
                    switchMap(() =>
                      isClosed ? of(messages.map((): PublishOutcome => ({ status: 'ok' }))) : publish(messages),
                    ),
                  ),
              }),
            ),
          );
        }),
    })),
    caughtBy: '16 stores what it was given before the last let go',
    seen: /^0 of 1000 messages are stored/,
  },
  {
    name: 'is closed for good once it was let go of while it connected',
    driver: broken(closesForAll()),
    caughtBy: '18 can be let go of at once',
    seen: /^Afterwards a publish is transient/,
  },
  {
    name: 'is closed for good once it was let go of',
    driver: broken(closesForAll()),
    caughtBy: '19 can be let go of twice',
    seen: /^Afterwards a publish is transient/,
  },
  {
    name: 'swallows the refusal of a topic',
    driver: broken(connectingAnyway({ status: 'ok' })),
    caughtBy: '26 refuses a topic that does not exist',
    seen: /^A message to a topic that does not exist is ok/,
  },
  {
    name: 'refuses a topic with an error of the client',
    driver: broken(connectingAnyway({ status: 'permanent', error: new Error('code 3') })),
    caughtBy: '26 refuses a topic that does not exist',
    seen: /must be refused with unknown-topic, and was with: Error: code 3/,
  },
  {
    name: 'swallows a failed publish',
    driver: broken(answering((outcomes) => outcomes.map(() => ({ status: 'ok' })))),
    caughtBy: '26 refuses a message that is too large by itself',
    seen: /the outcomes are ok, ok, ok/,
  },
  {
    name: 'refuses a whole call for one message',
    driver: broken(
      answering((outcomes) => {
        const bad = outcomes.find(({ status }) => status !== 'ok');
        return bad === undefined ? outcomes : outcomes.map(() => bad);
      }),
    ),
    caughtBy: '26 refuses a partition that does not exist by itself',
    seen: /the outcomes are permanent, permanent, permanent/,
  },
  {
    name: 'leaves a timer',
    driver: broken((publisher) => ({
      connect: () =>
        defer(() => {
          leaveATimer();
          return publisher.connect();
        }),
    })),
    caughtBy: '35 leaves no timer and no socket when the last lets go',
    seen: /^Still open although all is closed: an interval/,
  },
];
