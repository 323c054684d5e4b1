import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { wakeUpsOf } from '../../../lib/stores/postgres/postgres-wake-ups.js';

class FakeClient extends EventEmitter {
  readonly statements: string[] = [];
  dead = false;
  released = false;
  query({ text }: { text: string }): Promise<unknown> {
    this.statements.push(text);
    return this.dead ? new Promise(() => undefined) : Promise.resolve();
  }
  release(): void {
    this.released = true;
  }
}

describe('wake-ups by NOTIFY', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('leave a connection that is silently dead for another, and look for what came meanwhile', async () => {
    const clients: FakeClient[] = [];
    const connect = (): Promise<FakeClient> => {
      clients.push(new FakeClient());
      return Promise.resolve(clients.at(-1) as FakeClient);
    };
    let heard = 0;
    const listening = wakeUpsOf({ connect }, 'channel').subscribe(() => heard++);
    await jest.advanceTimersByTimeAsync(300_000);
    expect(clients.map(({ statements }) => statements[0])).toEqual(['LISTEN channel']);
    expect(heard).toBe(1);
    (clients[0] as FakeClient).dead = true;
    await jest.advanceTimersByTimeAsync(60_000);
    expect(clients.map(({ released }) => released)).toEqual([true, false]);
    expect(heard).toBe(2);
    listening.unsubscribe();
    expect(clients.map(({ released }) => released)).toEqual([true, true]);
    expect(jest.getTimerCount()).toBe(0);
  });
});
