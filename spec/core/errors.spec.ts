import { describe, expect, it } from '@jest/globals';
import { createServer, connect, type AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { nameOf, SluiceError } from '../../lib/core/errors.js';
import { permanent } from '../../lib/core/failures.js';
import { safeWord } from '../../lib/core/safe-word.js';

const errorOf = (fields: object, message = 'card 4111'): Error => Object.assign(new Error(message), fields);

describe('the message of an error of ours', () => {
  it('has at most 2,048 bytes, at whole characters', () => {
    expect(new SluiceError('failed', 'x'.repeat(2_048)).message).toHaveLength(2_048);
    for (const text of ['x'.repeat(2_049), 'é'.repeat(2_000), '😀'.repeat(10_000)]) {
      const { message, stack } = new SluiceError('failed', text);
      expect(Buffer.byteLength(message)).toBeLessThanOrEqual(2_048);
      expect(Buffer.byteLength(message)).toBeGreaterThan(2_040);
      expect(text.startsWith(message)).toBe(true);
      expect(stack).not.toContain(text);
    }
  });
});

describe('what is told of an error of others', () => {
  it.each([
    ['its class and its code', errorOf({ name: 'HTTPError', code: 'E_GONE' }), 'HTTPError E_GONE'],
    ['its class alone where it has no code', new TypeError('card 4111'), 'TypeError'],
    ['no name and no code that is a sentence', errorOf({ name: 'card 4111', code: 'card 4111' }), 'Error'],
    [
      'the class that it is of, for such a name',
      Object.assign(new RangeError('x'), { name: 'card 4111' }),
      'RangeError',
    ],
    ['no number of a card as a code', errorOf({ code: '4111111111111111' }), 'Error'],
    ['that it is no error', 'card 4111', 'not an Error (string)'],
    ['our own message, of one of ours', new SluiceError('failed', 'no server'), 'no server'],
  ])('is %s', (_, error, told) => expect(nameOf(error)).toBe(told));

  it('is what can be read of one whose properties cannot', () => {
    const fail = {
      get: () => {
        throw new Error('not to be read');
      },
    };
    const hostile = Object.defineProperties(new Error('x'), {
      code: fail,
      syscall: fail,
      name: fail,
      constructor: fail,
      errors: fail,
    });
    expect(nameOf(hostile)).toBe('Error');
  });

  it('is call, code and address of a system error: where nobody listens, of a file, of a command, of several addresses', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const [refused] = (await once(connect(port, '127.0.0.1'), 'error').catch((error: unknown) => [error])) as [Error];
    expect(nameOf(refused)).toBe(`connect ECONNREFUSED 127.0.0.1:${port}`);
    const several = Object.assign(new AggregateError([refused, new Error('x')], ''), { code: 'ECONNREFUSED' });
    expect(nameOf(several)).toBe(`connect ECONNREFUSED 127.0.0.1:${port}`);

    const file: unknown = await readFile('/none/card 4111').catch((error: unknown) => error);
    expect(nameOf(file)).toBe('open ENOENT');
    // The content of a key file in the place of its path.
    const key = `{"private_key":"-----BEGIN PRIVATE KEY-----${'4111'.repeat(200)}"}`;
    const long: unknown = await readFile(key).catch((error: unknown) => error);
    expect(nameOf(long)).toBe('open ENAMETOOLONG');

    const [missing] = (await once(spawn(process.execPath.replace(/\w+$/, 'card-4111'), ['4111']), 'error').catch(
      (error: unknown) => [error],
    )) as [Error];
    expect(nameOf(missing)).toBe('spawn ENOENT');
    expect(nameOf(errorOf({ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'db.test' }))).toBe(
      'getaddrinfo ENOTFOUND db.test',
    );
    expect(nameOf(errorOf({ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'app:hunter2@db' }))).toBe(
      'getaddrinfo ENOTFOUND',
    );
  });
});

describe('a mark on what can carry none', () => {
  it.each([
    ['a text', 'card 4111', 'Marked as permanent: not an Error (string). The cause is what was thrown.'],
    ['nothing at all', undefined, 'Marked as permanent: not an Error (undefined). The cause is what was thrown.'],
    [
      'an object that has no text',
      Object.create(null),
      'Marked as permanent: not an Error (object). The cause is what was thrown.',
    ],
    [
      'a frozen error',
      Object.freeze(new TypeError('card 4111')),
      'Marked as permanent: TypeError. The cause is what was thrown.',
    ],
  ])('says what it was, and nothing that it says: %s', (_, thrown: unknown, message) => {
    const marked = permanent(thrown);
    expect(marked).toMatchObject({ code: 'failed', message });
    expect(marked.cause).toBe(thrown);
  });
});

describe('a word', () => {
  it.each(['TypeError', 'ECONNREFUSED', '57P01', '22012', 'ERR_HTTP2_STREAM', 'com.aws.X:Y', '$x', 'a'.repeat(64)])(
    'is one: %s',
    (text) => expect(safeWord(text)).toBe(text),
  );

  it.each([
    ['a sentence', 'card number'],
    ['a number of a card', '4111111111111111'],
    ['an address', 'anna@example.test'],
    ['nothing', ''],
    ['a line', 'a\n'],
    ['too long', 'a'.repeat(65)],
    ['no text', 42],
  ])('is none: %s', (_, text) => expect(safeWord(text)).toBeUndefined());
});
