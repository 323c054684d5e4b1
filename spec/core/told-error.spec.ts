import { describe, expect, it } from '@jest/globals';
import { createServer, type AddressInfo } from 'node:net';
import { SluiceError } from '../../lib/core/errors.js';
import { permanent } from '../../lib/core/failures.js';
import { errorText, tellError } from '../../lib/core/told-error.js';
import { inAnotherRealm } from '../support/another-realm.js';
import { hostile } from '../support/hostile.js';

const withCode = (error: Error, code: string | number, more: object = {}): Error =>
  Object.assign(error, { code, ...more });

describe('what is told of an error', () => {
  it('are the messages of its causes, the nearest first, with class and code', () => {
    const root = withCode(new Error('connect ECONNREFUSED 127.0.0.1:5432'), 'ECONNREFUSED');
    const error = new TypeError('charge failed', { cause: new RangeError('no account', { cause: root }) });
    expect(tellError(error)).toMatchObject({
      name: 'TypeError',
      message: 'charge failed',
      causes: ['RangeError: no account', 'Error ECONNREFUSED: connect ECONNREFUSED 127.0.0.1:5432'],
    });
    expect(errorText(error, 2_048)).toBe(
      'TypeError: charge failed\nRangeError: no account\nError ECONNREFUSED: connect ECONNREFUSED 127.0.0.1:5432',
    );
  });

  it('says why a fetch of Node failed', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const error: unknown = await fetch(`http://127.0.0.1:${port}`).catch((failure: unknown) => failure);
    const { message, causes } = tellError(error);
    expect(message).toBe('fetch failed');
    expect(causes.join()).toContain(`ECONNREFUSED: connect ECONNREFUSED 127.0.0.1:${port}`);
  });

  it('are the members of an AggregateError, which has no message of its own where no connection could be made', () => {
    const tries = [
      withCode(new Error('connect ::1'), 'ECONNREFUSED'),
      withCode(new Error('connect 127.0.0.1'), 'EHOSTUNREACH'),
    ];
    const error = withCode(new AggregateError(tries, ''), 'ECONNREFUSED');
    expect(tellError(error)).toMatchObject({
      name: 'AggregateError',
      message: 'ECONNREFUSED',
      causes: ['Error ECONNREFUSED: connect ::1', 'Error EHOSTUNREACH: connect 127.0.0.1'],
    });
    expect(tellError(new Error('x', { cause: error })).causes).toEqual([
      'AggregateError: ECONNREFUSED',
      'Error ECONNREFUSED: connect ::1',
      'Error EHOSTUNREACH: connect 127.0.0.1',
    ]);
    // Issues of a schema are no errors.
    expect(tellError(Object.assign(new Error('x'), { errors: [{ message: 'secret' }] })).causes).toEqual([]);
  });

  it('ends: at a cycle, at 8 causes in depth, at 16 in all, at 1,024 bytes each', () => {
    const [one, other] = [new Error('one'), new Error('other')];
    one.cause = other;
    other.cause = one;
    expect(tellError(one).causes).toEqual(['Error: other']);
    let deep = new Error('0');
    for (let n = 1; n < 100; n++) deep = new Error(String(n), { cause: deep });
    expect(tellError(deep).causes).toHaveLength(8);
    const wide = new AggregateError(Array.from({ length: 10_000 }, (_, n) => new Error(String(n))));
    expect(tellError(wide).causes).toHaveLength(16);
    const [line] = tellError(new Error('x', { cause: new Error('😀'.repeat(10_000)) })).causes as [string];
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(1_024);
    expect(Buffer.byteLength(errorText(new Error('é'.repeat(10_000), { cause: wide }), 100))).toBeLessThanOrEqual(100);
  });

  it('survives causes that are no errors, and getters that throw', () => {
    const hostile = Object.defineProperty(new Error('x'), 'cause', {
      get: () => {
        throw new Error('not to be read');
      },
    });
    expect(tellError(hostile).causes).toEqual([]);
    expect(tellError(new Error('x', { cause: 'out of stock' })).causes).toEqual(['string: out of stock']);
    expect(tellError(new Error('x', { cause: Object.create(null) })).causes).toEqual(['object: an object']);
    expect(tellError(new Error('x', { cause: null })).causes).toEqual([]);
    expect(tellError(undefined)).toMatchObject({ name: 'none', message: 'nacked without a reason', causes: [] });
  });

  it('has the class of the error, or its own name where the class says nothing', () => {
    class OutOfStock extends Error {}
    const named = Object.assign(new Error('x'), { name: 'SlowDown' });
    const unnamed = Object.assign(new Error('x'), { name: '' });
    const errors = [new OutOfStock('x'), new TypeError('x'), named, unnamed, new DOMException('x', 'TimeoutError')];
    expect(errors.map((error) => tellError(error).name)).toEqual([
      'OutOfStock',
      'TypeError',
      'SlowDown',
      'Error',
      'TimeoutError',
    ]);
    const late = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
    // Its code is 23, of 1998.
    expect(errorText(new Error('charge failed', { cause: late }), 2_048)).toBe(
      'Error: charge failed\nTimeoutError: The operation was aborted due to timeout',
    );
  });

  it('is told of errors of another realm alike', () => {
    const error: Error = inAnotherRealm(
      'new TypeError("fetch failed", { cause: Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }) })',
    );
    const { name, message, causes, stack } = tellError(error);
    expect([name, message, causes]).toEqual([
      'TypeError',
      'fetch failed',
      ['Error ECONNREFUSED: connect ECONNREFUSED'],
    ]);
    expect(stack).toMatch(/^TypeError: fetch failed\n {4}at /);
    const members: Error = inAnotherRealm('new AggregateError([new Error("one"), new RangeError("two")], "none")');
    expect(tellError(members).causes).toEqual(['Error: one', 'RangeError: two']);
  });

  it.each(Object.entries(hostile()))('is told of %s', (_, make) => {
    for (const reason of [make(), new Error('x', { cause: make() }), new AggregateError([make()])]) {
      expect(typeof tellError(reason).message).toBe('string');
      expect(errorText(reason, 2_048).length).toBeGreaterThan(0);
    }
  });

  it('tells what was wrapped to be marked in the place of the mark, by its class and stack too', () => {
    expect(tellError(permanent('out of stock'))).toMatchObject({ name: 'string', message: 'out of stock', causes: [] });
    const frozen = Object.freeze(new RangeError('no', { cause: permanent('out of stock') }));
    expect(tellError(permanent(frozen))).toMatchObject({
      name: 'RangeError',
      message: 'no',
      stack: expect.stringMatching(/^RangeError: no\n/) as unknown,
      causes: ['string: out of stock'],
    });
    expect(errorText(permanent(frozen), 2_048)).toBe('RangeError: no\nstring: out of stock');
    expect(tellError(permanent(undefined))).toMatchObject({ name: 'none', message: 'nacked without a reason' });
  });

  it('has a word for a class, at most 64 characters, and no sentence for a code', () => {
    class A extends Error {}
    Object.defineProperty(A, 'name', { value: 'x'.repeat(10_000) });
    expect(tellError(new A('no')).name).toBe('Error');
    const error = withCode(Object.assign(new A('no'), { name: 'Gone' }), 'code of '.repeat(1_000));
    expect(tellError(new Error('x', { cause: error }))).toMatchObject({ causes: ['Gone: no'] });
  });

  it('is class and code alone of what stands behind an error of ours, but for our own and the parts of those of the system', () => {
    const codec = new SyntaxError('Unexpected token in card 4111');
    const decoding = new SluiceError('undecodable', 'decode: the codec cannot read a/0/1 (9 bytes).', { cause: codec });
    expect(tellError(decoding).causes).toEqual(['SyntaxError']);
    const file = withCode(new Error("ENOENT: no such file, open 'card 4111'"), 'ENOENT', { syscall: 'open' });
    expect(tellError(new SluiceError('undecodable', 'x', { cause: file })).causes).toEqual([
      'Error ENOENT: open ENOENT',
    ]);
    const refused = withCode(new Error('connect ECONNREFUSED ::1:5432'), 'ECONNREFUSED', {
      syscall: 'connect',
      address: '::1',
      port: 5432,
    });
    const out = new SluiceError('connection-failed', 'no server', {
      cause: new SluiceError('connection-failed', 'nobody answers', { cause: refused }),
    });
    expect(tellError(out).causes).toEqual([
      'SluiceError connection-failed: nobody answers',
      'Error ECONNREFUSED: connect ECONNREFUSED ::1:5432',
    ]);
    expect(errorText(out, 2_048)).toMatch(/^no server\n/);
  });

  it.each([
    [
      'a password in a URL',
      'connect to postgres://app:hunter2@db:5432/x failed',
      'connect to postgres://***@db:5432/x failed',
    ],
    ['a token for a user of a URL', 'clone https://hunter2@example.test/x', 'clone https://***@example.test/x'],
    ['a bearer token', 'sent Authorization: Bearer hunter2.x-y=', 'sent Authorization: ***'],
    [
      'a header of several words',
      'headers:\nAuthorization: Token hunter2\nHost: x',
      'headers:\nAuthorization: ***\nHost: x',
    ],
    ['cookies', "{ 'set-cookie': [ 'a=hunter2; b=hunter2' ] }", "{ 'set-cookie': [ *** ] }"],
    ['a password that should have been encoded', 'to postgres://app:a@hunter2@db/x', 'to postgres://***@db/x'],
    [
      'one with the marks of a URL in it',
      'to redis://:a/b#hunter2@cache:6379 failed',
      'to redis://***@cache:6379 failed',
    ],
    [
      'JSON in JSON',
      '{"body":"{\\"password\\":\\"hunter2\\",\\"a\\":1}"}',
      '{"body":"{\\"password\\":***,\\"a\\":1}"}',
    ],
    ['a text with quotes in it', 'secret="a\\"hunter2" of it', 'secret=*** of it'],
    ['one that is cut off', 'the config was token="a hunter2', 'the config was token=***'],
    ['more than a line holds', `private_key: "${'x'.repeat(3_000)}hunter2"`, 'private_key: ***'],
    [
      'a private key, with its lines escaped and cut off',
      `the file -----BEGIN RSA PRIVATE KEY-----\\nhunter2\\nhunter2`,
      'the file ***',
    ],
    [
      'a private key within a text',
      'got -----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY----- of a file',
      'got *** of a file',
    ],
    ['a JWT', `got eyJhunter2hunter2.eyJhunter2.hunter2-_ there`, 'got *** there'],
    ['a key of AWS', 'for AKIAHUNTER2HUNTER2XX and 1', 'for *** and 1'],
    ['a token of Google', 'got ya29.hunter2hunter2hunter2 there', 'got *** there'],
    ['keys and signatures', 'AccountKey=hunter2==;x?sig=hunter2&n=1', 'AccountKey=***;x?sig=***&n=1'],
    ['basic credentials', 'Basic hunter2==', 'Basic ***'],
    ['a setting', 'bad config: password=hunter2; port=1', 'bad config: password=***; port=1'],
    ['JSON', '{"apiKey": "hunter2", "db_password_1":"hunter2"}', '{"apiKey": ***, "db_password_1":***}'],
  ])('leaves out %s', (_, message, told) => {
    const error = new Error(message, { cause: new Error(message) });
    const { stack, causes, ...of } = tellError(error);
    expect(of.message).toBe(told);
    expect(causes).toEqual([]);
    expect(tellError(new Error('x', { cause: error })).causes).toEqual([`Error: ${told}`]);
    expect(stack).not.toContain('hunter2');
  });

  it('leaves out what JSON.parse and a database quote of a payload', () => {
    const parse = (text: string): Error => {
      try {
        return new Error(String(JSON.parse(text)));
      } catch (error) {
        return error as Error;
      }
    };
    for (const text of ['card 4111', `[1, 2, card 4111 ${'x'.repeat(100)}]`, '"4111']) {
      const { message, stack } = tellError(parse(text));
      expect(message).not.toContain('4111');
      expect(stack).not.toContain('4111');
    }
    const data = withCode(new Error('invalid input syntax for type integer: "card 4111"'), '22P02');
    expect(tellError(data).message).toBe('invalid input syntax for type integer: "…"');
    expect(tellError(new Error('x', { cause: data })).causes.join()).not.toContain('4111');
  });

  it('takes no time worth speaking of, whatever is in a message', () => {
    const hostile = [
      '"',
      "'",
      'pwd="',
      "pwd='",
      '://a',
      'Bearer ',
      'password',
      'token: ',
      'cookie: ',
      '://:a',
      'a-',
      '" is not valid JSON',
      'eyJaaaaaaaaa.',
      'ya29.',
      '-----BEGIN PRIVATE KEY-----',
      '-----BEGIN ',
    ];
    for (const piece of hostile) {
      const message = piece.repeat(Math.ceil(1e6 / piece.length));
      const from = process.cpuUsage().user;
      tellError(new Error(message, { cause: new Error(`${message}x`) }));
      expect(process.cpuUsage(undefined).user - from).toBeLessThan(500_000);
    }
  });
});
