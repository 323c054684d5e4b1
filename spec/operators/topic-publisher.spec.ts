import { describe, expect, it } from '@jest/globals';
import { from, NEVER, of, throwError, timer } from 'rxjs';
import { SluiceError } from '../../lib/core/errors.js';
import type { OutboxMessage } from '../../lib/core/outbox-message.js';
import type { PublisherConnection, PublishOutcome } from '../../lib/core/publisher.js';
import { topicPublisher, type TopicPublisherOptions } from '../../lib/operators/topic-publisher.js';
import { marbles, type Drive, type Marbles } from '../support/marbles.js';
import { refusal, untyped } from '../support/options.js';
import { after, confirms, fakePublisher, isOut, refuses, type FakePublisher } from '../support/publishers.js';

const UNKNOWN = new SluiceError('unknown-topic', 'no such topic');

/** `topic:value`, each. */
const messagesOf = (...named: readonly string[]): OutboxMessage[] =>
  named.map((each) => {
    const [topic = '', value = ''] = each.split(':');
    return { topic, key: null, value };
  });

interface Bed {
  readonly connection: () => PublisherConnection<OutboxMessage>;
  readonly opened: string[];
  readonly connected: Drive<PublisherConnection<OutboxMessage>>;
  publish(...named: readonly string[]): Drive<readonly PublishOutcome[]>;
}

function bedOf({ drive }: Marbles, topics: Record<string, FakePublisher>, options?: TopicPublisherOptions): Bed {
  const opened: string[] = [];
  const publisher = topicPublisher((topic) => {
    opened.push(topic);
    const its = topics[topic];
    if (its === undefined) throw UNKNOWN;
    return its;
  }, options);
  const connected = drive(publisher.connect());
  const connection = () => connected.values[0] as PublisherConnection<OutboxMessage>;
  return {
    connection,
    opened,
    connected,
    publish: (...named) => drive(from(connection().publish(messagesOf(...named)))),
  };
}

const textOf = ({ published }: FakePublisher): string => published.map(({ value }) => value).join('');
const statusesOf = ({ values }: Drive<readonly PublishOutcome[]>): string[] | undefined =>
  values[0]?.map(({ status }) => status);

describe('topicPublisher', () => {
  it('publishes each message by the publisher of its topic, in order, one outcome each', () =>
    marbles((helpers) => {
      const [a, b] = [fakePublisher(after(30)), fakePublisher(refuses)];
      const bed = bedOf(helpers, { a, b });
      const call = bed.publish('a:1', 'b:2', 'a:3', 'b:4', 'a:5');
      helpers.advanceTo(29);
      expect(call.values).toEqual([]);
      helpers.advanceTo(30);
      expect(statusesOf(call)).toEqual(['ok', 'permanent', 'ok', 'permanent', 'ok']);
      expect(call.completed).toBe(true);
      expect(textOf(a)).toBe('135');
      expect(a.calls).toHaveLength(1);
    }));

  it('refuses a message without a topic, or one that cannot be read, by itself', () =>
    marbles((helpers) => {
      const a = fakePublisher();
      const bed = bedOf(helpers, { a });
      const unreadable = Object.defineProperty({ value: 'x' }, 'topic', {
        get: () => {
          throw new Error('of a getter');
        },
      });
      const odd = [{ value: 'x' }, unreadable] as unknown as OutboxMessage[];
      const publishing = (messages: readonly OutboxMessage[]) =>
        helpers.drive(from(bed.connection().publish(messages)));
      const [some, all] = [publishing([...messagesOf('a:1'), ...odd, ...messagesOf('a:2')]), publishing(odd)];
      helpers.advanceTo(1);
      expect(statusesOf(some)).toEqual(['ok', 'permanent', 'permanent', 'ok']);
      expect(statusesOf(all)).toEqual(['permanent', 'permanent']);
      expect(bed.opened).toEqual(['a']);
    }));

  it('opens a topic when it is first needed, once, and closes all with itself', () =>
    marbles((helpers) => {
      const [a, b] = [fakePublisher(), fakePublisher()];
      const bed = bedOf(helpers, { a, b });
      expect(bed.opened).toEqual([]);
      bed.publish('a:1');
      bed.publish('a:2', 'b:3');
      bed.publish('b:4');
      expect(bed.opened).toEqual(['a', 'b']);
      expect([a.open, b.open]).toEqual([1, 1]);
      bed.connected.unsubscribe();
      expect([a.open, b.open]).toEqual([0, 0]);
    }));

  it('has one connection for all who connect, open until the last lets go', () =>
    marbles(({ drive }) => {
      const a = fakePublisher();
      const publisher = topicPublisher(() => a);
      const both = [drive(publisher.connect()), drive(publisher.connect())];
      for (const each of both) {
        drive(from((each.values[0] as PublisherConnection<OutboxMessage>).publish(messagesOf('t:1'))));
      }
      expect(a.connects).toBe(1);
      both[0]?.unsubscribe();
      expect(a.open).toBe(1);
      both[1]?.unsubscribe();
      expect(a.open).toBe(0);
    }));

  it('fails but its own messages where a topic does not exist, as transient', () =>
    marbles((helpers) => {
      const [a, gone] = [fakePublisher(), fakePublisher(confirms, () => throwError(() => UNKNOWN))];
      const bed = bedOf(helpers, { a, gone });
      const mixed = bed.publish('a:1', 'gone:2', 'never-heard-of:3', 'a:4');
      expect(statusesOf(mixed)).toEqual(['ok', 'transient', 'transient', 'ok']);
      const alone = bed.publish('gone:5');
      expect(statusesOf(alone)).toEqual(['transient']);
      expect(alone.error).toBeUndefined();
    }));

  it('is out where none of the topics of a call can be reached, and only then', () =>
    marbles((helpers) => {
      const [a, down] = [fakePublisher(), fakePublisher(isOut)];
      const bed = bedOf(helpers, { a, down });
      expect(statusesOf(bed.publish('a:1', 'down:2'))).toEqual(['ok', 'transient']);
      expect(bed.publish('down:3', 'never-heard-of:4').error).toMatchObject({ code: 'publish-failed' });
      expect(textOf(a)).toBe('1');
    }));

  it('waits for the connection of a topic, and connects again with backoff', () =>
    marbles((helpers) => {
      const slow = fakePublisher(confirms, (attempt) =>
        attempt === 0 ? throwError(() => new Error('down')) : timer(50),
      );
      const bed = bedOf(helpers, { slow });
      const first = bed.publish('slow:1');
      expect(first.error).toMatchObject({ code: 'publish-failed' });
      helpers.advanceTo(1_000);
      const second = bed.publish('slow:2');
      expect(statusesOf(second)).toEqual(['ok']);
      expect(slow.connects).toBe(2);
    }));

  it('counts an outcome that is missing as transient', () =>
    marbles((helpers) => {
      const few = fakePublisher(() => of([{ status: 'ok' }]));
      const call = bedOf(helpers, { few }).publish('few:1', 'few:2');
      expect(call.values[0]).toMatchObject([
        { status: 'ok' },
        { status: 'transient', error: { code: 'publish-failed' } },
      ]);
    }));

  it('closes the topic that was used least recently for one more than maxTopics', () =>
    marbles((helpers) => {
      const topics = { a: fakePublisher(), b: fakePublisher(), c: fakePublisher() };
      const bed = bedOf(helpers, topics, { maxTopics: 2 });
      bed.publish('a:1');
      bed.publish('b:2');
      bed.publish('a:3');
      bed.publish('c:4');
      expect([topics.a.open, topics.b.open, topics.c.open]).toEqual([1, 0, 1]);
      bed.publish('b:5');
      expect([topics.a.open, topics.b.open, topics.c.open]).toEqual([0, 1, 1]);
      expect(textOf(topics.b)).toBe('25');
    }));

  it('closes no topic in use: what is one too many is tried again later', () =>
    marbles((helpers) => {
      const topics = { a: fakePublisher(after(100)), b: fakePublisher(after(100)), c: fakePublisher() };
      const bed = bedOf(helpers, topics, { maxTopics: 2 });
      const three = bed.publish('a:1', 'b:2', 'c:3');
      helpers.advanceTo(100);
      expect(statusesOf(three)).toEqual(['ok', 'ok', 'transient']);
      expect(statusesOf(bed.publish('c:4'))).toEqual(['ok']);
      expect(bed.opened).toEqual(['a', 'b', 'c']);
    }));

  it('gives up what is under way when the call is let go', () =>
    marbles((helpers) => {
      const a = fakePublisher(() => NEVER);
      const bed = bedOf(helpers, { a }, { maxTopics: 1 });
      const call = bed.publish('a:1');
      expect(a.pending).toBe(1);
      call.unsubscribe();
      expect(a.pending).toBe(0);
    }));

  it('publishes nothing for an empty call', () =>
    marbles((helpers) => {
      const bed = bedOf(helpers, {});
      expect(bed.publish().values).toEqual([[]]);
      expect(bed.opened).toEqual([]);
    }));

  it('refuses options that are none', () => {
    expect(refusal(() => topicPublisher(untyped('orders')))).toMatch(/publisherOf must be a function/);
    expect(refusal(() => topicPublisher(() => fakePublisher(), { maxTopics: 0 }))).toMatch(/maxTopics/);
    expect(refusal(() => topicPublisher(() => fakePublisher(), untyped({ topics: 3 })))).toMatch(/topics/);
  });
});
