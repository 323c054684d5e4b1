import { describe, expect, it } from '@jest/globals';
import { map, of, throwError, type ObservableInput } from 'rxjs';
import { permanent } from '../../lib/core/failures.js';
import type { Message } from '../../lib/core/message.js';
import type { OutboxBurial } from '../../lib/core/outbox-store.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { fromOutbox } from '../../lib/operators/from-outbox.js';
import { handle } from '../../lib/operators/handle.js';
import { publishTo } from '../../lib/operators/publish-to.js';
import { retryToDlq, type RetryToDlqOptions } from '../../lib/operators/retry-to-dlq.js';
import { withOutbox } from '../../lib/operators/with-outbox.js';
import { marbles, type Marbles } from '../support/marbles.js';
import { fakeRows, type FakeRows } from '../support/outbox-rows.js';
import { fakeOutbox } from '../support/outbox-store.js';
import { confirms, fakePublisher, isOut, OUTAGE, until, type PublishAnswer } from '../support/publishers.js';
import { textOf, type ScriptedLog } from '../support/scripted-log.js';
import { fakeStore } from '../support/stores.js';

const POISON = 'poison';
const COUNT = 40;
const AT = 17;

const valueOf = ({ value }: Message): string => (typeof value === 'string' ? value : textOf(value));
const isPoison = (message: Message): boolean => valueOf(message).includes(POISON);

/** A call fails for each message in it of some kind, as one does that a broker ends by closing the connection. */
const failsFor =
  (isBad: (message: Message) => boolean, then: PublishAnswer = confirms): PublishAnswer =>
  (messages, call) =>
    messages.some(isBad) ? throwError(() => OUTAGE) : then(messages, call);

/** Forty messages, of which the eighteenth is not like the others. */
const mixed = (log: Marbles['log'], poison = POISON): ScriptedLog => {
  const source = log(undefined, { maxInFlight: 100 });
  for (let i = 0; i < COUNT; i++)
    source.publish(`m${i}`, { value: i === AT ? poison : `value ${i}`, key: `key ${i % 5}` });
  return source;
};

const refusesAll = handle(() => {
  throw permanent(new Error('no'));
});

describe("a member's failure is no outage of the call", () => {
  describe('of dead letters (I6)', () => {
    const setUp = ({ log, drive }: Marbles, answer: PublishAnswer, options: Partial<RetryToDlqOptions> = {}) => {
      const source = mixed(log);
      const deadLetters = fakePublisher(answer);
      const out = drive(source.deliveries.pipe(retryToDlq({ deadLetters, ...options }), refusesAll, ackEach()));
      return { source, deadLetters, out };
    };

    it('finds the letter that makes each call fail, publishes size and digest of its value, and says so', () =>
      marbles((helpers) => {
        const { source, deadLetters, out } = setUp(helpers, failsFor(isPoison));
        helpers.advanceTo(60_000);
        expect(source.settled('dead-lettered')).toHaveLength(COUNT);
        expect(source.committed()).toBe(COUNT);
        const values = deadLetters.published.map(valueOf);
        for (let i = 0; i < COUNT; i++)
          if (i !== AT) expect(values.filter((value) => value === `value ${i}`)).toHaveLength(1);
        const [digest] = deadLetters.published.filter(
          ({ headers }) => headers?.['dead-letter-value-sha256'] !== undefined,
        );
        expect(digest?.headers).toMatchObject({
          'dead-letter-value-bytes': '6',
          // printf poison | sha256sum
          'dead-letter-value-sha256': '5743abddddfa08c1e3a99fdebc2e8f3f1108fa12dcd2a8f58a42f141418c22ec',
          'dead-letter-source-topic': 'orders',
          'dead-letter-source-partition': '0',
          'dead-letter-source-position': String(AT),
        });
        expect(source.eventsOf('undeliverable').map(({ event }) => [event.message.id, event.error])).toEqual([
          [`orders/0/${AT}`, OUTAGE],
        ]);
        // 3 of all, 6 halvings, 3 alone, 2 trimmed, and what goes through in between.
        expect(deadLetters.calls.length).toBeLessThan(40);
        expect(out.error).toBeUndefined();
      }));

    it.each([
      ['its stack', 'dead-letter-error-stack', ['dead-letter-error-class']],
      ['what we add', 'dead-letter-error-class', []],
    ])('leaves out %s where that is what fails', (_, header, left) =>
      marbles((helpers) => {
        const isBad = (message: Message): boolean => isPoison(message) && message.headers?.[header] !== undefined;
        const { source, deadLetters } = setUp(helpers, failsFor(isBad));
        helpers.advanceTo(60_000);
        expect(source.settled('dead-lettered')).toHaveLength(COUNT);
        const [letter] = deadLetters.published.filter(isPoison) as [Message];
        expect(valueOf(letter)).toBe(POISON);
        expect(Object.keys(letter.headers ?? {})).toEqual(left.length === 0 ? [] : expect.arrayContaining(left));
        expect(source.eventsOf('undeliverable')).toEqual([]);
      }),
    );

    it("holds it by itself with 'hold', lets all others go, and publishes it whole once that is possible", () =>
      marbles((helpers) => {
        const { now, advanceTo } = helpers;
        const answer = failsFor((message) => now() < 100_000 && isPoison(message));
        const { source, deadLetters } = setUp(helpers, answer, { onUndeliverable: 'hold' });
        advanceTo(99_999);
        expect(source.settled('dead-lettered')).toHaveLength(COUNT - 1);
        expect(source.eventsOf('undeliverable').length).toBeGreaterThan(0);
        expect(deadLetters.published.filter(isPoison)).toEqual([]);
        advanceTo(250_000);
        expect(source.settled('dead-lettered')).toHaveLength(COUNT);
        expect(deadLetters.published.filter(isPoison)).toHaveLength(1);
      }));

    it('keeps the letters of an outage whole, and publishes each once, however long that is', () =>
      marbles((helpers) => {
        for (const ms of [1_000, 20_000, 200_000]) {
          const { source, deadLetters, out } = setUp(helpers, until(helpers.now() + ms, isOut));
          helpers.advanceTo(helpers.now() + ms + 6_000);
          expect(source.settled('dead-lettered')).toHaveLength(COUNT);
          expect(deadLetters.published).toHaveLength(COUNT);
          for (const { headers } of deadLetters.published) expect(headers).toHaveProperty('dead-letter-error-stack');
          expect(source.eventsOf('unavailable')).toHaveLength(1);
          expect(source.eventsOf('recovered')).toHaveLength(1);
          out.unsubscribe();
        }
      }));

    it('finds it also where it is the only letter, by one that has its size and digest alone', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined);
        source.publish('a', { value: POISON });
        const deadLetters = fakePublisher(failsFor(isPoison));
        drive(source.deliveries.pipe(retryToDlq({ deadLetters }), refusesAll, ackEach()));
        advanceTo(60_000);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        for (const { headers } of deadLetters.published) expect(headers).toHaveProperty('dead-letter-value-sha256');
      }));

    it('does not leave a value out for the only letter of an outage', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined);
        source.publish('a', { value: 'v' });
        const deadLetters = fakePublisher(until(200_000, isOut));
        drive(source.deliveries.pipe(retryToDlq({ deadLetters }), refusesAll, ackEach()));
        advanceTo(220_000);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        expect(deadLetters.published.filter((message) => valueOf(message) === 'v')).toHaveLength(1);
      }));

    it('is closed while it looks for one', () =>
      marbles((helpers) => {
        for (const ms of [50, 500, 2_000, 5_000, 8_000, 12_000]) {
          const { source, deadLetters, out } = setUp(helpers, failsFor(isPoison));
          helpers.advanceTo(helpers.now() + ms);
          out.unsubscribe();
          helpers.advanceTo(helpers.now() + 11_000);
          expect(source.isOpen).toBe(false);
          expect(deadLetters.pending).toBe(0);
        }
      }));

    const revoked = (): object => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    };
    const hostile = (): object => {
      const fail = (): never => {
        throw new Error('of a trap');
      };
      return new Proxy({}, { get: fail, has: fail, getPrototypeOf: fail, ownKeys: fail });
    };
    const withGetter = (property: string): Error =>
      Object.defineProperty(new Error('m'), property, {
        get: () => {
          throw new Error('of a getter');
        },
      });

    it.each([
      ['a Proxy that was revoked', revoked],
      ['a Proxy whose traps throw', hostile],
      ...['cause', 'name', 'code', 'message', 'stack', 'constructor', 'errors'].map(
        (property) => [`an error whose ${property} cannot be read`, () => withGetter(property)] as const,
      ),
      [
        'an error with a class of a megabyte',
        () => Object.assign(new Error('m'), { constructor: { name: 'x'.repeat(1e6) } }),
      ],
    ])('publishes all letters at once where one is of %s', (_, thrown) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = mixed(log);
        const deadLetters = fakePublisher();
        const failing = handle((value: Uint8Array | null) => {
          throw textOf(value) === POISON ? thrown() : new Error('no');
        });
        drive(source.deliveries.pipe(retryToDlq({ deadLetters, maxRetries: 0 }), failing, ackEach()));
        advanceTo(10);
        expect(source.settled('dead-lettered')).toHaveLength(COUNT);
        expect(source.eventsOf('unavailable')).toEqual([]);
        const [letter] = deadLetters.published.filter(isPoison) as [Message];
        expect(letter.headers?.['dead-letter-error-class']).toBeDefined();
        expect(JSON.stringify(letter.headers).length).toBeLessThan(8_000);
      }),
    );

    it.each([
      ['deep', '['.repeat(20_000) + ']'.repeat(20_000)],
      ['deeper', '{"a":'.repeat(200_000) + '1' + '}'.repeat(200_000)],
      ['not closed', '['.repeat(200_000)],
    ])("publishes all letters at once with format: 'json' where one is JSON that is %s", (_, json) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = mixed(log, json);
        const deadLetters = fakePublisher();
        drive(source.deliveries.pipe(retryToDlq({ deadLetters, format: 'json' }), refusesAll, ackEach()));
        advanceTo(10);
        expect(source.settled('dead-lettered')).toHaveLength(COUNT);
        const [letter] = deadLetters.published.filter((message) => valueOf(message).length > 1_500) as [Message];
        expect(valueOf(letter)).toContain(json);
      }),
    );
  });

  it('of a publish: publishTo nacks the message for good, and others pass in the order of their keys', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = mixed(log);
      const deadLetters = fakePublisher();
      const publisher = fakePublisher(failsFor(isPoison));
      const passed: string[] = [];
      drive(
        source.texts.pipe(
          retryToDlq({ deadLetters }),
          publishTo(publisher, (value, { key }): Message => ({ value, key })),
          handle((value) => void passed.push(value)),
          ackEach(),
        ),
      );
      advanceTo(60_000);
      expect(passed).toHaveLength(COUNT - 1);
      expect(source.settled('done')).toHaveLength(COUNT - 1);
      for (let key = 0; key < 5; key++) {
        const its = passed.map((value) => Number(value.slice(6))).filter((i) => i % 5 === key);
        expect(its).toEqual([...its].sort((left, right) => left - right));
      }
      expect(publisher.published).toHaveLength(COUNT - 1);
      const [letter] = deadLetters.published as [Message];
      expect(valueOf(letter)).toBe(POISON);
      expect(letter.headers).toMatchObject({ 'dead-letter-attempts': '1' });
      expect(letter.headers?.['dead-letter-error-message']).toContain(
        `publishTo: orders/0/${AT} makes each call fail that it is in, while others go through: Error.`,
      );
      expect(publisher.calls.length).toBeLessThan(40);
    }));

  it('of a claim: dedupe nacks the message for good, and others pass', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = mixed(log);
      const store = fakeStore();
      const deadLetters = fakePublisher();
      const refusing = {
        ...store,
        claim: (keys: readonly string[], leaseMs: number): ObservableInput<never> => {
          if (keys.includes(POISON)) throw new Error('a key that cannot be stored');
          return store.claim(keys, leaseMs) as ObservableInput<never>;
        },
      };
      const out = drive(
        source.texts.pipe(
          retryToDlq({ deadLetters }),
          dedupe({ key: (value) => value, store: refusing }),
          handle((value) => value),
          ackEach(),
        ),
      );
      advanceTo(60_000);
      expect(out.values).toHaveLength(COUNT - 1);
      expect(deadLetters.published.map(valueOf)).toEqual([POISON]);
      expect(source.committed()).toBe(COUNT);
    }));

  it.each(['confirm', 'release'] as const)('of a %s: the settlement goes up, and the claim will lapse', (call) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = mixed(log);
      const store = fakeStore();
      const refusing = {
        ...store,
        [call]: (claims: readonly { readonly key: string; readonly token: string }[]) => {
          if (claims.some(({ key }) => key === POISON)) throw new Error('not this one');
          return store[call](claims);
        },
      };
      const deadLetters = fakePublisher();
      drive(
        source.texts.pipe(
          retryToDlq({ deadLetters, maxRetries: 0 }),
          dedupe({ key: (value) => value, store: refusing }),
          handle((value) => {
            if (call === 'release') throw new Error('no');
            return value;
          }),
          ackEach(),
        ),
      );
      advanceTo(60_000);
      expect(source.settled(call === 'confirm' ? 'done' : 'dead-lettered')).toHaveLength(COUNT);
      expect(source.eventsOf('claim-lost').map(({ event }) => event.message.id)).toEqual(
        call === 'confirm' ? [`orders/0/${AT}`] : [],
      );
      expect(store.held).toEqual(new Set([POISON]));
    }),
  );

  it.each([1, 8])(
    'of a record of withOutbox, in groups of %i: the message is nacked for good, and others pass',
    (group) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = mixed(log);
        const store = fakeOutbox();
        const deadLetters = fakePublisher();
        const refusing = {
          ...store,
          transaction: (consumer: string) =>
            store.transaction(consumer).pipe(
              map((opened) => ({
                ...opened,
                record: (keys: readonly string[]) => {
                  if (keys.includes(POISON)) throw new Error('a key that cannot be stored');
                  return opened.record(keys);
                },
              })),
            ),
        };
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters }),
            withOutbox(refusing, (value: string) => value, { consumer: 'c', key: (value) => value, group }),
          ),
        );
        advanceTo(60_000);
        expect(out.values).toHaveLength(COUNT - 1);
        expect(deadLetters.published.map(valueOf)).toEqual([POISON]);
        expect(deadLetters.published[0]?.headers?.['dead-letter-error-message']).toContain(
          'withOutbox: orders/0/17 makes',
        );
        expect(source.committed()).toBe(COUNT);
      }),
  );

  it('of a handler of withOutbox that throws what the store cannot look at', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = mixed(log);
      const store = {
        ...fakeOutbox(),
        faultOf: (): never => {
          throw new Error('of a trap');
        },
      };
      const deadLetters = fakePublisher();
      const work = (value: string): string => {
        if (value === POISON) throw new Error('no');
        return value;
      };
      const out = drive(
        source.texts.pipe(
          retryToDlq({ deadLetters, maxRetries: 0 }),
          withOutbox(store, work, { consumer: 'c', key: (value) => value, group: 8 }),
        ),
      );
      advanceTo(1_000);
      expect(out.values).toHaveLength(COUNT - 1);
      expect(deadLetters.published.map(valueOf)).toEqual([POISON]);
    }));

  it('of a burial of fromOutbox: the row is dead without the text of its error', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put(...[...'abcdefghij'].map((lane) => `${lane}1`));
      const told: string[] = [];
      const refusing = Object.assign(Object.create(rows) as FakeRows, {
        dead: (burials: readonly OutboxBurial[]) => {
          if (burials.some(({ error }) => error.includes(POISON))) throw new Error('no such text');
          told.push(...burials.map(({ error }) => error));
          return rows.dead(burials);
        },
      });
      const refuse: PublishAnswer = (messages) =>
        of(
          messages.map((message) => ({
            status: 'permanent' as const,
            error: new Error(valueOf(message) === 'd1' ? POISON : 'refused'),
          })),
        );
      drive(fromOutbox(refusing).pipe(publishTo(fakePublisher(refuse)), ackEach()));
      advanceTo(60_000);
      expect(rows.in('dead')).toHaveLength(10);
      expect(told.filter((text) => text === 'Error: refused')).toHaveLength(9);
      expect(told.filter((text) => !text.includes('refused'))).toEqual([
        'The store did not take the text of the error.',
      ]);
    }));
});
