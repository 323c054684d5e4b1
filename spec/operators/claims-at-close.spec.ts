import { describe, expect, it } from '@jest/globals';
import * as rx from 'rxjs';
import { ackEach, batch, dedupe, publish, settling, type Delivery } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { postgresIdempotencyStore, postgresSchema } from 'rxsluice/postgres';
import { describePostgres } from '../servers/describe-postgres.js';
import { marbles } from '../support/marbles.js';
import { fakeStore, storeAnswersAfter, storeIsMute, type FakeStore } from '../support/stores.js';

type Below = <T>() => rx.MonoTypeOperatorFunction<Delivery<T>>;

/** Foreign operators that let go of nothing when they are torn down. */
const holders: Readonly<Record<string, Below>> = {
  'the queue of mergeMap': () => rx.mergeMap((d) => settling(d, (v) => rx.timer(1_000).pipe(rx.map(() => v))), 1),
  delay: () => rx.delay(1_000),
  bufferCount: () => (source) =>
    source.pipe(
      rx.bufferCount(100),
      rx.mergeMap((all) => all),
    ),
  'a subscriber that settles nothing': () => rx.ignoreElements(),
};

const byName = (store: FakeStore) => dedupe({ key: (value: string) => value, store });

describe('claims of what a foreign operator holds below dedupe (I8)', () => {
  it.each(Object.keys(holders))('are given back before closed, on unsubscribe: %s', (name) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)', { drainTimeoutMs: 100 });
      const store = fakeStore({ release: storeAnswersAfter(7) });
      const out = drive(source.texts.pipe(byName(store), (holders[name] as Below)(), ackEach()));
      advanceTo(5);
      expect(store.held.size).toBe(3);
      out.unsubscribe();
      advanceTo(500);
      expect([...store.held]).toEqual([]);
      // The drain, then the answer of the store.
      expect(source.eventsOf('closed').map(({ at }) => at)).toEqual([112]);
      expect(store.pending).toBe(0);
    }),
  );

  it.each(['stop', 'error'] as const)('are given back before closed, on %s', (end) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)', { drainTimeoutMs: 100, stop: end === 'stop' ? rx.timer(5) : rx.NEVER });
      const store = fakeStore({ release: storeAnswersAfter(7) });
      const fails = end === 'error' ? rx.timer(5).pipe(rx.map(() => JSON.parse('') as never)) : rx.NEVER;
      const out = drive(rx.merge(source.texts.pipe(byName(store), rx.delay(1_000), ackEach()), fails));
      advanceTo(500);
      expect([...store.held]).toEqual([]);
      expect(source.eventsOf('closed').map(({ at }) => at)).toEqual([112]);
      out.unsubscribe();
    }),
  );

  it('are given back where dedupe stands below batch', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)', { drainTimeoutMs: 100 });
      const store = fakeStore();
      const key = (values: readonly string[]): string => values.join();
      const pipeline = source.texts.pipe(
        batch({ maxSize: 3, maxWaitMs: 1 }),
        dedupe({ key, store }),
        rx.delay(1_000),
        ackEach(),
      );
      const out = drive(pipeline);
      advanceTo(5);
      expect(store.held.size).toBe(1);
      out.unsubscribe();
      advanceTo(200);
      expect([...store.held]).toEqual([]);
      expect(source.isOpen).toBe(false);
    }));

  it('are confirmed, not given back, where the work is done while the source drains', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { drainTimeoutMs: 100 });
      const store = fakeStore();
      const taken: Delivery<string>[] = [];
      const out = drive(
        source.texts.pipe(
          byName(store),
          rx.tap((delivery) => taken.push(delivery)),
        ),
      );
      advanceTo(5);
      out.unsubscribe();
      advanceTo(50);
      taken[0]?.ack();
      advanceTo(200);
      expect([...store.confirmed]).toEqual(['a']);
      expect(store.callsOf('release')).toEqual([]);
      expect(source.committed()).toBe(1);
    }));

  it('are renewed meanwhile, so that nobody else takes what is still worked on, and not after that', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)', { drainTimeoutMs: 1_000 });
      const store = fakeStore();
      const taken: Delivery<string>[] = [];
      const out = drive(
        source.texts.pipe(
          dedupe({ key: (value: string) => value, store, leaseMs: 150 }),
          rx.tap((delivery) => taken.push(delivery)),
        ),
      );
      advanceTo(5);
      out.unsubscribe();
      advanceTo(500);
      expect(store.callsOf('renew').length).toBeGreaterThanOrEqual(9);
      taken[0]?.ack();
      advanceTo(1_010);
      expect([...store.confirmed]).toEqual(['a']);
      expect([...store.held]).toEqual([]);
      const renewals = store.callsOf('renew').length;
      advanceTo(5_000);
      expect(store.callsOf('renew').length).toBe(renewals);
      expect(source.isOpen).toBe(false);
    }));

  it('are told to be lost where another has taken one before it is confirmed', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { drainTimeoutMs: 100 });
      const store = fakeStore({ confirm: rx.map<never, never>(() => [false] as never) });
      const taken: Delivery<string>[] = [];
      const out = drive(
        source.texts.pipe(
          byName(store),
          rx.tap((delivery) => taken.push(delivery)),
        ),
      );
      advanceTo(5);
      out.unsubscribe();
      taken[0]?.ack();
      advanceTo(200);
      expect(source.eventsOf('claim-lost')).toHaveLength(1);
    }));

  it('do not keep the source open for longer than a drain where the store never answers', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { drainTimeoutMs: 100 });
      const store = fakeStore({ release: storeIsMute });
      const out = drive(source.texts.pipe(byName(store), rx.delay(1_000), ackEach()));
      advanceTo(5);
      out.unsubscribe();
      advanceTo(500);
      expect(source.eventsOf('closed').map(({ at }) => at)).toEqual([205]);
      expect(store.pending).toBe(0);
    }));
});

describePostgres('claims in Postgres of what a foreign operator holds below dedupe', (postgres) => {
  it('are gone when the source reports closed, and the next subscription waits for none', async () => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    const broker = memoryBroker({ topics: { t: {} } });
    const names = Array.from({ length: 20 }, (_, i) => ({ value: `m${i}` }));
    await rx.lastValueFrom(publish(memoryPublisher(broker, { topic: 't' }), names));
    const store = postgresIdempotencyStore(postgres().newPool(), { schema, consumer: 'c' });
    const claimed = new rx.ReplaySubject<unknown>();
    const closed = new rx.ReplaySubject<unknown>();
    let parked = 0;
    const source = fromMemory(broker, {
      groupId: 'g',
      topics: ['t'],
      until: 'end',
      drainTimeoutMs: 200,
      telemetry: ({ type }) => {
        if (type === 'closed') closed.next(type);
        if (type === 'parked') parked++;
      },
    }).pipe(dedupe({ key: (value) => new TextDecoder().decode(value as Uint8Array), store }));
    const held = source
      .pipe(
        rx.tap((delivery) => claimed.next(delivery)),
        rx.delay(1e6),
        ackEach(),
      )
      .subscribe();
    await rx.firstValueFrom(claimed);
    held.unsubscribe();
    await rx.firstValueFrom(closed);
    const left = await postgres().query(
      `SELECT * FROM ${schema}.processed_events WHERE processed_at IS NULL AND leased_until > now()`,
    );
    expect(left).toEqual([]);
    const values = await rx.lastValueFrom(source.pipe(ackEach(), rx.toArray()));
    expect(values).toHaveLength(names.length);
    expect(parked).toBe(0);
  });
});
