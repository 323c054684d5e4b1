import { expect, it } from '@jest/globals';
import { BehaviorSubject, filter, take, tap } from 'rxjs';
import { fromKinesis } from '../../../lib/brokers/kinesis/from-kinesis.js';
import { ackEach, handle, type TelemetryEvent } from '../../../lib/index.js';
import { memoryLeaseStore } from '../../../lib/memory.js';
import { describeKinesis } from '../../servers/describe-kinesis.js';
import { until } from '../../support/until.js';

type LagEvent = Extract<TelemetryEvent, { type: 'lag' }>;

const EVERY_MS = 200;
const POLL_MS = 100;

describeKinesis('kinesalite', 'the lag that fromKinesis tells, against the truth', (kinesis) => {
  it('on an idle shard, behind a stuck handler that stops the reading, and until all is done', async () => {
    const stream = await kinesis().createStream({ shards: 1 });
    const open = new BehaviorSubject(true);
    const stop = new AbortController();
    // What came and is not settled, by its arrival as Kinesis told it; the first is the oldest.
    const out = new Map<string, number>();
    const told: { readonly event: LagEvent; readonly oldest: number | undefined; readonly at: number }[] = [];
    let isClosed = false;
    let settled = 0;
    fromKinesis(kinesis().newKinesis(), {
      stream,
      consumer: 'c',
      leases: memoryLeaseStore(),
      maxInFlight: 4,
      maxBufferedBytes: 1,
      lagEveryMs: EVERY_MS,
      pollMs: POLL_MS,
      readIntervalMs: 20,
      stop: stop.signal,
      telemetry: (event) => {
        if (event.type === 'closed') isClosed = true;
        if (event.type === 'settled') {
          settled++;
          out.delete(event.message.id);
        }
        if (event.type === 'lag') told.push({ event, oldest: [...out.values()][0], at: Date.now() });
      },
    })
      .pipe(
        tap(({ id, timestamp }) => out.set(id, timestamp)),
        handle(() => open.pipe(filter(Boolean), take(1)), { concurrency: 4 }),
        ackEach(),
      )
      .subscribe();
    const next = async (lags: number) => {
      const from = told.length;
      await until(`${lags} lags are told`, () => told.length >= from + lags);
      return told.slice(from);
    };

    // An idle shard.
    await until('it reads', () => told.some(({ event }) => event.lagMs === 0));
    for (const { event } of await next(4)) expect(event).toMatchObject({ lagMs: 0, inFlight: 0 });

    // Stuck, and not read on: Kinesis says nothing any more.
    open.next(false);
    await kinesis().put(stream, 100);
    await until('it is stuck', () => told.at(-1)?.event.inFlight === 4);
    await kinesis().put(stream, 100);
    const stuck = await next(8);
    const errors = stuck.map(({ event, oldest = NaN, at }) => Math.abs((event.lagMs as number) - (at - oldest)));
    // Both are by the same clock, read in the same turn.
    expect(Math.max(...errors)).toBeLessThanOrEqual(5);
    const lags = stuck.map(({ event }) => event.lagMs as number);
    expect(lags).toEqual([...lags].sort((left, right) => left - right));
    expect(stuck.every(({ event }) => event.ageMs === 0)).toBe(true);

    open.next(true);
    await until('all is done', () => settled === 200);
    await until('it has caught up', () => told.at(-1)?.event.lagMs === 0);
    const idle = await next(4);
    for (const { event } of idle) expect(event).toMatchObject({ lagMs: 0, bufferedMessages: 0, inFlight: 0 });
    console.log(
      `lags told by fromKinesis each ${EVERY_MS} ms, polling each ${POLL_MS} ms: up to ${Math.max(...lags)} ms while stuck, off by ` +
        `${Math.max(...errors)} ms at most; when idle ${Math.max(...idle.map(({ event }) => event.ageMs ?? 0))} ms old at most`,
    );
    stop.abort();
    await until('it is closed', () => isClosed);
  });
});
