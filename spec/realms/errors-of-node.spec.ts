import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { ackEach, constant, handle, publish, retryToDlq, transient } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { textOf } from '../support/scripted-log.js';

/** The headers of the dead letter of a message whose handler fails; by real time, as Node's own calls need. */
async function deadLetterOf(work: () => Promise<unknown>): Promise<Readonly<Record<string, string>>> {
  const broker = memoryBroker({ topics: { in: {}, dlq: {} } });
  await firstValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), [{ value: 'x' }]));
  const retry = retryToDlq({
    deadLetters: memoryPublisher(broker, { topic: 'dlq' }),
    maxRetries: 1,
    backoff: constant(1),
  });
  const source = fromMemory(broker, { groupId: 'g', topics: ['in'], until: 'end' });
  await lastValueFrom(source.pipe(retry, handle(work), ackEach(), toArray()));
  const [letter] = broker.messages('dlq');
  const headers = Object.entries(letter?.headers ?? {});
  return Object.fromEntries(
    headers.map(([name, value]) => [name, typeof value === 'string' ? value : textOf(value as Uint8Array)]),
  );
}

const pick = (headers: Readonly<Record<string, string>>) => ({
  name: headers['dead-letter-error-class'],
  message: headers['dead-letter-error-message'],
  causes: headers['dead-letter-error-causes'],
});

// Here, in the default environment of Jest, each error that Node itself throws is of another realm.
describe("a dead letter of Node's own errors", () => {
  it('says which file could not be read, and where', async () => {
    const letter = await deadLetterOf(() => readFile('/no/such/file'));
    expect(pick(letter)).toEqual({
      name: 'Error',
      message: "ENOENT: no such file or directory, open '/no/such/file'",
      causes: undefined,
    });
    expect(letter['dead-letter-error-stack']).toMatch(/^Error: ENOENT/);
  });

  it('says why a fetch failed', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const { name, message, causes } = pick(await deadLetterOf(() => fetch(`http://127.0.0.1:${port}`)));
    expect([name, message]).toEqual(['TypeError', 'fetch failed']);
    expect(causes).toBe(`Error ECONNREFUSED: connect ECONNREFUSED 127.0.0.1:${port}`);
  });

  it('names a time-out as such', async () => {
    // It takes connections and never answers.
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const letter = await deadLetterOf(() => fetch(`http://127.0.0.1:${port}`, { signal: AbortSignal.timeout(20) }));
      expect(pick(letter)).toEqual({
        name: 'TimeoutError',
        message: 'The operation was aborted due to timeout',
        causes: undefined,
      });
      const aborted = await deadLetterOf(async () => AbortSignal.abort().throwIfAborted());
      expect(pick(aborted)).toMatchObject({ name: 'AbortError', message: 'This operation was aborted' });
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('may be marked, and stays the error that it is', async () => {
    const error: unknown = await readFile('/no/such/file').catch((thrown: unknown) => thrown);
    expect(error instanceof Error).toBe(false);
    expect(transient(error)).toBe(error);
  });
});
