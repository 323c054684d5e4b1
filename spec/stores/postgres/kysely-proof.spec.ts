import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { proofOf, type KyselyConnection } from '../../../lib/stores/postgres/postgres-kysely-connection.js';

const MINUTE = 60_000;

/** A connection to a server that cannot be reached for that long: pg gives up each statement after its `query_timeout`. */
function unreachable(forMs: number, then: () => Promise<readonly unknown[]>): KyselyConnection & { asked(): number } {
  const until = Date.now() + forMs;
  let asked = 0;
  const query = (): Promise<readonly unknown[]> => {
    asked++;
    if (Date.now() >= until) return then();
    return new Promise((_, reject) => setTimeout(() => reject(new Error('Query read timeout')), 1_000));
  };
  const driver = { executeQuery: () => Promise.resolve({ rows: [] }) };
  return { kysely: driver, driver, query, release: () => undefined, asked: () => asked };
}

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

it.each([
  ['answers again', true, () => Promise.resolve([])],
  ['has ended the connection', false, () => Promise.reject(new Error('Connection terminated unexpectedly'))],
])('gives a connection back, however long it took until the server %s', async (_, isClean, then) => {
  const connection = unreachable(120 * MINUTE, then);
  const ended = jest.fn();
  void proofOf(connection).then(ended);
  await jest.advanceTimersByTimeAsync(119 * MINUTE);
  expect(ended).not.toHaveBeenCalled();
  // Some 100 in the first minutes, two a minute from then on.
  expect(connection.asked()).toBeLessThan(400);
  await jest.advanceTimersByTimeAsync(2 * MINUTE);
  expect(ended).toHaveBeenCalledWith(isClean);
});
