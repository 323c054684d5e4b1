import { afterEach, describe, expect, it } from '@jest/globals';
import { ackEach } from '../../../lib/index.js';
import { createOutages } from '../../../lib/brokers/pubsub/pubsub-outages.js';
import { mayAckLater } from '../../../lib/brokers/pubsub/pubsub-source-errors.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import { marbles } from '../../support/marbles.js';
import { watchPubSub } from '../../support/pubsub-watch.js';
import { until } from '../../support/until.js';

const MODES = ['streaming', 'pull'] as const;
// The client does not try these again by itself.
const REFUSALS = [
  ['UNAUTHENTICATED', 'authentication-failed'],
  ['PERMISSION_DENIED', 'not-authorized'],
  ['NOT_FOUND', 'unknown-topic'],
  ['FAILED_PRECONDITION', 'source-failed'],
  ['DATA_LOSS', 'source-failed'],
  ['OUT_OF_RANGE', 'source-failed'],
] as const;

const grpcError = (code: number): Error => Object.assign(new Error('of the service'), { code });
const [PERMISSION_DENIED, UNAVAILABLE] = [7, 14];

function watchOutages(refusalTimeoutMs: number, streams = 1) {
  const told: string[] = [];
  const pubsub = { isOpen: true, subscription: () => ({}) as never, request: () => undefined };
  const engine = {
    unavailable: () => void told.push('unavailable'),
    recovered: () => void told.push('recovered'),
    fail: (error: unknown) => void told.push((error as { code: string }).code),
  };
  return {
    told,
    pubsub,
    outages: createOutages(engine, { pubsub, short: 's', refusalTimeoutMs, streams: () => streams }),
  };
}

describe('outages of a subscription', () => {
  it('are none where it is refused before anything came: the source ends', () =>
    marbles(() => {
      const { told, outages } = watchOutages(60_000);
      expect(outages.lost(grpcError(PERMISSION_DENIED))).toBe(false);
      expect(told).toEqual(['not-authorized']);
      outages.end();
    }));

  it('are refusals once a message came, or nothing was refused for ten seconds', () =>
    marbles(({ advanceTo }) => {
      const [busy, quiet] = [watchOutages(60_000), watchOutages(60_000)];
      busy.outages.answered();
      expect(busy.outages.lost(grpcError(PERMISSION_DENIED))).toBe(true);
      advanceTo(10_000);
      expect(quiet.outages.lost(grpcError(PERMISSION_DENIED))).toBe(true);
      busy.outages.answered();
      expect([busy.told, quiet.told]).toEqual([['unavailable', 'recovered'], ['unavailable']]);
      busy.outages.end();
      quiet.outages.end();
    }));

  it('end the source once nothing but refusals has come for refusalTimeoutMs', () =>
    marbles(({ advanceTo }) => {
      const { told, outages } = watchOutages(30_000);
      outages.answered();
      const seen = [outages.lost(grpcError(PERMISSION_DENIED))];
      advanceTo(29_999);
      seen.push(outages.lost(grpcError(PERMISSION_DENIED)));
      advanceTo(30_000);
      seen.push(outages.lost(grpcError(PERMISSION_DENIED)));
      expect(seen).toEqual([true, true, false]);
      expect(told.at(-1)).toBe('not-authorized');
      outages.end();
    }));

  it('are over after a time without a failure, and the next refusal begins anew', () =>
    marbles(({ advanceTo }) => {
      const { told, outages } = watchOutages(30_000);
      outages.answered();
      outages.lost(grpcError(PERMISSION_DENIED));
      advanceTo(76_000);
      expect(told).toEqual(['unavailable', 'recovered']);
      expect(outages.lost(grpcError(PERMISSION_DENIED))).toBe(true);
      outages.end();
    }));

  it('are lost streams only where all of them failed three times, and never end what has worked', () =>
    marbles(({ advanceTo }) => {
      const { told, outages } = watchOutages(30_000, 2);
      outages.answered();
      for (let i = 0; i < 5; i++) outages.lost(grpcError(UNAVAILABLE));
      expect(told).toEqual([]);
      for (let i = 0; i < 20; i++) {
        advanceTo(10_000 * (i + 1));
        expect(outages.lost(grpcError(UNAVAILABLE))).toBe(true);
      }
      expect(told[0]).toBe('unavailable');
      outages.end();
    }));

  it.each([0, 30_000])(
    'never end a source that nobody answers, also before its first message: after %i ms',
    (refusalTimeoutMs) =>
      marbles(({ advanceTo }) => {
        const { told, outages } = watchOutages(refusalTimeoutMs);
        const seen: boolean[] = [];
        for (let i = 0; i < 12; i++) {
          seen.push(outages.lost(grpcError(UNAVAILABLE)));
          advanceTo(30_000 * (i + 1));
        }
        expect([seen, [...new Set(told)]]).toEqual([seen.map(() => true), ['unavailable']]);
        outages.end();
      }),
  );

  it('are none where the client was closed', () =>
    marbles(() => {
      const { told, pubsub, outages } = watchOutages(30_000);
      outages.answered();
      pubsub.isOpen = false;
      expect([outages.lost(grpcError(UNAVAILABLE)), told]).toEqual([false, ['source-failed']]);
    }));

  it('have acks wait for credentials, and not for a permission', () => {
    const open = { isOpen: true, subscription: () => ({}) as never, request: () => undefined };
    const may = (code: number): boolean => mayAckLater(open, grpcError(code));
    expect([may(16), may(UNAVAILABLE), may(PERMISSION_DENIED), may(3)]).toEqual([true, true, false, false]);
    expect(mayAckLater({ ...open, isOpen: false }, grpcError(UNAVAILABLE))).toBe(false);
  });
});

describePubSubFake('fromPubSub that has worked', (fake, pubsub) => {
  const { open, endAll } = watchPubSub(pubsub);
  afterEach(async () => {
    fake().heal();
    await endAll();
  });

  const refused = async (
    mode: (typeof MODES)[number],
    code: (typeof REFUSALS)[number][0],
    refusalTimeoutMs: number,
  ) => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 1);
    const seen = open(name, { mode, refusalTimeoutMs }, (source) => source.pipe(ackEach()));
    await until('it has worked', () => seen.values.length === 1, 10_000);
    for (const rpc of ['StreamingPull', 'Pull'] as const) fake().fail(rpc, { code, count: Infinity });
    // Streams that are open already must fail as well.
    fake().cutStreams(code, name);
    await pubsub().publish(topic, 1, { first: 1 });
    return { topic, seen };
  };

  describe.each(MODES)('%s', (mode) => {
    it.each(REFUSALS.map(([code]) => code))(
      'takes a moment of refusals for an outage: %s',
      async (code) => {
        const { topic, seen } = await refused(mode, code, 60_000);
        await until('it is told', () => seen.ofType('unavailable').length === 1, 10_000);
        fake().heal();
        await pubsub().publish(topic, 1, { first: 2 });
        await until('it reads on', () => new Set(seen.deliveries.map(({ id }) => id)).size === 3, 20_000);
        expect([seen.error, seen.ofType('recovered').length]).toEqual([null, 1]);
      },
      45_000,
    );

    it.each(REFUSALS)(
      'ends where refusals last for refusalTimeoutMs: %s',
      async (grpc, code) => {
        const { seen } = await refused(mode, grpc, 500);
        await until('it ends', () => seen.error !== null, 20_000);
        expect(seen.error).toMatchObject({ code });
        expect((seen.error as Error).message).toContain('refusalTimeoutMs');
        expect(seen.ofType('unavailable').length).toBeGreaterThan(0);
      },
      45_000,
    );
  });
});
