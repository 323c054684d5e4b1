import { describe, expect, it } from '@jest/globals';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { encodeMessage, type PubSubOutgoing } from '../../../lib/brokers/pubsub/pubsub-outgoing.js';
import { isSluiceError } from '../../../lib/core/errors.js';
import type { Message, MessageHeaders } from '../../../lib/core/message.js';

type OrderingKey = (message: Message) => string | undefined;

type Attributes = (message: Message) => MessageHeaders;

const encode = (message: Message, orderingKey?: OrderingKey, attributes?: Attributes): PubSubOutgoing =>
  encodeMessage(message, { orderingKey, attributes });

function refusal(message: unknown, orderingKey?: unknown, attributes?: unknown): string {
  try {
    encode(message as Message, orderingKey as OrderingKey, attributes as Attributes);
  } catch (error) {
    return isSluiceError(error) ? `${error.code}: ${error.message}` : String(error);
  }
  return 'nothing was refused';
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a message', () => {
  it('is its value as data, its key as ordering key and its headers as attributes', () => {
    expect(encode({ value: 'ü', key: 'k', headers: { a: 'b', c: bytes('d'), e: ['f'], none: undefined } })).toEqual({
      key: 'k',
      message: { data: bytes('ü'), orderingKey: 'k', attributes: { a: 'b', c: 'd', e: 'f' } },
      bytes: 16 + 2 + 1 + 3 * (9 + 2),
    });
    const data = Uint8Array.of(0, 255);
    expect(encode({ value: data, key: null })).toEqual({ key: null, message: { data }, bytes: 18 });
    expect(encode({ value: data }).message.data).toBe(data);
  });

  it('may have bytes that are text as its key', () => {
    expect(encode({ value: 'v', key: bytes('鍵') }).key).toBe('鍵');
  });

  it('may be a tombstone or empty where it has a header', () => {
    for (const value of [null, '', new Uint8Array(0)]) {
      expect(encode({ value, headers: { a: '' } }).message).toEqual({ attributes: { a: '' } });
      expect(refusal({ value, key: 'k' })).toBe(
        'publish-failed: pubsubPublisher: a message needs a value that is not empty, or a header: a tombstone alone cannot be stored.',
      );
    }
  });

  it('keeps attributes of odd names', () => {
    const headers = Object.fromEntries([
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['ü 鍵', 'c'],
      [' ', 'd'],
    ]);
    expect(encode({ value: 'v', headers }).message.attributes).toEqual(headers);
  });

  it.each([
    ['a partition', { value: 'v', partition: 0 }, 'Pub/Sub has no partitions'],
    ['a time-stamp', { value: 'v', timestamp: 1 }, 'Pub/Sub gives each message its time itself'],
    ['a number as value', { value: 5 }, 'a value must be bytes, text or null, not a number'],
    ['no value', {}, 'a value must be bytes, text or null, not undefined'],
    ['a header without a name', { value: 'v', headers: { '': 'a' } }, 'a header must have a name'],
    ['a header that is no text', { value: 'v', headers: { a: Uint8Array.of(255) } }, 'header a: attributes are text'],
    ['a header that is a number', { value: 'v', headers: { a: 5 } }, 'header a must be bytes or text, not a number'],
    [
      'a Map of headers',
      { value: 'v', headers: new Map([['a', 'b']]) },
      'headers must be an object, with bytes or text',
    ],
    ['half of a character as header', { value: 'v', headers: { a: 'x\ud83d' } }, 'header a: attributes are text'],
    ['half of a character as name', { value: 'v', headers: { '\ud83dx': 'a' } }, 'the name of a header must be text'],
    ['a repeated header', { value: 'v', headers: { a: ['b', 'c'] } }, 'header a: attributes are not repeated'],
    ['an empty list as header', { value: 'v', headers: { a: [] } }, 'header a: attributes are not repeated'],
    ["one of the service's", { value: 'v', headers: { 'goog-x': 'b' } }, 'header goog-x: names that begin with goog'],
    ['a long header name', { value: 'v', headers: { ['ü'.repeat(129)]: '' } }, 'the 258 bytes of a header'],
    ['a long header', { value: 'v', headers: { a: 'ü'.repeat(513) } }, 'header a: its 1026 bytes are more than 1024'],
    [
      '101 headers',
      { value: 'v', headers: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`h${i}`, ''])) },
      '101 headers are more than 100',
    ],
    ['more than 10 MB', { value: new Uint8Array(9_998_961) }, '9998977 bytes are more than the 9998976 of a request'],
    [
      'more than 10 MB with its headers and key',
      { value: new Uint8Array(9_998_900), key: 'k'.repeat(30), headers: { a: 'b'.repeat(50) } },
      '9999006 bytes are more than the 9998976 of a request',
    ],
  ])('with %s is refused', (_, message, why) => {
    expect(refusal(message)).toContain(`publish-failed: pubsubPublisher: ${why}`);
  });

  it('of exactly the limits is not', () => {
    const headers = Object.fromEntries([
      ...Array.from({ length: 99 }, (_, i) => [`h${i}`, 'ü'.repeat(512)]),
      ['ü'.repeat(128), ''],
    ]) as Record<string, string>;
    expect(refusal({ value: 'v', key: 'ü'.repeat(512), headers })).toBe('nothing was refused');
    expect(refusal({ value: new Uint8Array(9_998_960) })).toBe('nothing was refused');
  });
});

describe('a key', () => {
  it.each([
    ['empty', { value: 'v', key: '' }, 'a key must not be empty'],
    ['no text', { value: 'v', key: Uint8Array.of(255) }, 'a key must be text, and these bytes are no UTF-8'],
    ['half of a character', { value: 'v', key: '😀'.slice(0, 1) }, 'a key must be text, and half of a surrogate pair'],
    ['too long', { value: 'v', key: 'ü'.repeat(513) }, 'the 1026 bytes of a key are more than 1024'],
    ['an object', { value: 'v', key: {} }, 'a key must be text, bytes or null, not an object'],
  ])('that is %s is refused', (_, message, why) => {
    expect(refusal(message)).toContain(`invalid-key: pubsubPublisher: ${why}`);
  });

  it('is what orderingKey makes of the message, or none', () => {
    expect(encode({ value: 'v', key: 'k' }, ({ value }) => `of ${value as string}`).key).toBe('of v');
    expect(encode({ value: 'v', key: Uint8Array.of(255) }, () => undefined)).toMatchObject({ key: null });
  });

  it('is refused where orderingKey throws or gives no text', () => {
    const mine = new Error('mine');
    expect(
      refusal({ value: 'v' }, () => {
        throw mine;
      }),
    ).toBe('publish-failed: pubsubPublisher: orderingKey threw.');
    expect(refusal({ value: 'v' }, () => 5)).toContain('invalid-key: pubsubPublisher: a key must be text');
  });
});

describe('attributes', () => {
  const headers = { id: Uint8Array.of(255), many: ['a', 'b'], 'dead-letter-attempts': '3' };

  it('are what is made of the message, whatever its headers are', () => {
    const { message } = encode({ value: 'v', headers }, undefined, ({ headers: { many = [] } = {} }) => ({
      many: String(many),
      bytes: bytes('ü'),
    }));
    expect(message.attributes).toEqual({ many: 'a,b', bytes: 'ü' });
    expect(encode({ value: 'v', headers }, undefined, () => ({})).message).toEqual({ data: bytes('v') });
  });

  it('keep the limits, and are refused where they are no object or cannot be made', () => {
    expect(refusal({ value: 'v', headers }, undefined, () => headers)).toContain('header id: attributes are text');
    expect(refusal({ value: 'v' }, undefined, () => null)).toContain('attributes must give an object');
    expect(
      refusal({ value: 'v' }, undefined, () => {
        throw new Error('mine');
      }),
    ).toBe('publish-failed: pubsubPublisher: attributes threw.');
  });
});

describe('what a message brings with it', () => {
  it('continues its trace in the client of a consumer as well', () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    expect(
      encode({ value: 'v', headers: { traceparent, tracestate: 'a=b', googclient_traceparent: 'of the last hop' } })
        .message.attributes,
    ).toEqual({ traceparent, tracestate: 'a=b', googclient_traceparent: traceparent, googclient_tracestate: 'a=b' });
  });

  it('as a dead letter of Pub/Sub keeps what its client and its dead-letter policy wrote, and loses its schema', () => {
    const headers = {
      googclient_traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      CloudPubSubDeadLetterSourceSubscription: 'orders',
      CloudPubSubDeadLetterSourceDeliveryCount: '5',
    };
    const ofSchema = {
      googclient_schemaname: 's',
      googclient_schemaencoding: 'JSON',
      googclient_schemarevisionid: 'r',
    };
    expect(encode({ value: 'v', headers: { ...headers, ...ofSchema } }).message.attributes).toEqual(headers);
  });
});

describe('the bytes of a message', () => {
  const { google } = createRequire(import.meta.url)('@google-cloud/pubsub/build/protos/protos.js') as {
    google: {
      pubsub: {
        v1: { PublishRequest: { encode(request: unknown): { finish(): Uint8Array }; fromObject(o: unknown): unknown } };
      };
    };
  };
  const { PublishRequest } = google.pubsub.v1;

  it('are never less than it takes of a request, and little more', () => {
    const texts = fc.string({ unit: 'binary', maxLength: 200 });
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 40_000 }),
        fc.option(fc.string({ minLength: 1, maxLength: 300 })),
        fc.array(fc.tuple(fc.stringMatching(/^[a-fA-F]{1,40}$/), texts), { maxLength: 20 }),
        (value, key, entries) => {
          const headers = Object.fromEntries(entries);
          const { message, bytes: counted } = encode({ value, key, headers });
          const taken = PublishRequest.encode(PublishRequest.fromObject({ topic: '', messages: [message] })).finish()
            .length;
          expect(counted).toBeGreaterThanOrEqual(taken);
          expect(counted - taken).toBeLessThan(16 + 9 * Object.keys(headers).length + 1);
        },
      ),
    );
  });
});
