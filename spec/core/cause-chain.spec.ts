import { describe, expect, it } from '@jest/globals';
import { causeChain, readChain } from '../../lib/core/cause-chain.js';
import { hostile } from '../support/hostile.js';

describe('a chain of causes', () => {
  it('is the error and its causes, from the outside in, as far as they are objects', () => {
    const root = new Error('root', { cause: 'text' });
    const error = new Error('top', { cause: root });
    expect(causeChain(error)).toEqual([error, root]);
    expect(readChain(Object.assign(error, { code: 7 }), ['message', 'code'])).toEqual([
      { message: 'top', code: 7 },
      { message: 'root', code: undefined },
    ]);
    expect([causeChain('text'), causeChain(undefined), causeChain(null)]).toEqual([[], [], []]);
  });

  it('ends where a cause leads back, and after 16', () => {
    const error = new Error('a') as Error & { cause?: unknown };
    error.cause = new Error('b', { cause: error });
    expect(causeChain(error)).toHaveLength(2);
    let deep = new Error('0');
    for (let n = 1; n < 100; n++) deep = new Error(String(n), { cause: deep });
    expect(causeChain(deep)).toHaveLength(16);
  });

  it.each(Object.entries(hostile()))('never throws: %s', (_, make) => {
    expect(causeChain(make()).length).toBeGreaterThan(0);
    expect(readChain(make(), ['name', 'message', 'code', 'type']).length).toBeGreaterThan(0);
  });
});
