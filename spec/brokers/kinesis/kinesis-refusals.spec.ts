import { describe, expect, it } from '@jest/globals';
import { throwError } from 'rxjs';
import { SluiceError } from '../../../lib/core/errors.js';
import { permanent } from '../../../lib/core/failures.js';
import type { LeaseStore } from '../../../lib/core/lease-store.js';
import { memoryLeaseStore } from '../../../lib/stores/memory/memory-lease-store.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import { workersOf, type Worker } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

const OPERATIONS = ['listShards', 'describeStreamSummary', 'getShardIterator', 'getRecords'] as const;
// As the SDK and the service say it.
const REFUSALS = [
  ['CredentialsProviderError', 'authentication-failed'],
  ['ExpiredTokenException', 'authentication-failed'],
  ['AccessDeniedException', 'not-authorized'],
  ['KMSDisabledException', 'not-authorized'],
  ['ResourceNotFoundException', 'unknown-topic'],
  ['SomethingNewException', 'source-failed'],
] as const;

function codeOf({ error }: Worker): string | undefined {
  return error instanceof SluiceError ? error.code : undefined;
}

function refuse(kinesis: FakeKinesis, name: string, from: number, until: number): void {
  const when = ({ at }: { readonly at: number }): boolean => at >= from && at < until;
  for (const operation of OPERATIONS) kinesis.fail(operation, { name, times: Infinity, when });
}

describe('fromKinesis that has worked', () => {
  // A stream that was gone is another one once it is back: see the positions that are gone.
  it.each(REFUSALS.map(([name]) => name).filter((name) => name !== 'ResourceNotFoundException'))(
    'takes a moment of refusals for an outage: %s',
    (name) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 4 });
        const worker = workersOf(helpers, kinesis).start({ shardSyncMs: 1_000, pollMs: 200 });
        kinesis.stream('s').append(0, 'a');
        helpers.advanceTo(5_000);
        refuse(kinesis, name, 5_000, 10_000);
        kinesis.stream('s').append(0, 'b');
        helpers.advanceTo(40_000);
        expect(worker.error).toBe(undefined);
        expect(worker.texts()).toEqual(['a', 'b']);
        expect(worker.eventsOf('unavailable').length).toBeGreaterThan(0);
        expect(worker.eventsOf('recovered')).toHaveLength(worker.eventsOf('unavailable').length);
      }),
  );

  it.each(REFUSALS)('ends once refusals have lasted for refusalTimeoutMs, with what they say: %s', (name, code) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 4 });
      const worker = workersOf(helpers, kinesis).start({ shardSyncMs: 1_000, refusalTimeoutMs: 60_000 });
      helpers.advanceTo(5_000);
      refuse(kinesis, name, 5_000, Infinity);
      helpers.advanceTo(60_000);
      expect(worker.error).toBe(undefined);
      helpers.advanceTo(80_000);
      expect(codeOf(worker)).toBe(code);
      expect(String((worker.error as Error).message)).toMatch(/\(refusalTimeoutMs\)/);
    }),
  );

  it('waits 5 minutes by default', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start();
      refuse(kinesis, 'AccessDeniedException', 100, Infinity);
      helpers.advanceTo(299_000);
      expect(worker.error).toBe(undefined);
      worker.unsubscribe();
    }));

  it('counts the refusals of one shard by themselves, while others are read', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 3 });
      const worker = workersOf(helpers, kinesis).start({ refusalTimeoutMs: 20_000 });
      helpers.advanceTo(5_000);
      const when = ({ shard }: { readonly shard: string | undefined }) => shard?.endsWith('1') === true;
      kinesis.fail('getRecords', { name: 'KMSAccessDeniedException', times: Infinity, when });
      helpers.advanceTo(50_000);
      expect(worker.error).toMatchObject({ code: 'not-authorized', details: { shard: 'shardId-000000000001' } });
    }));

  it('does not count an outage of the network among the refusals', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ refusalTimeoutMs: 20_000 });
      helpers.advanceTo(5_000);
      const within = (from: number, until: number) => ({ when: ({ at }: { at: number }) => at >= from && at < until });
      kinesis.fail('getRecords', { name: 'ExpiredTokenException', times: Infinity, ...within(5_000, 6_000) });
      kinesis.fail('getRecords', { code: 'ECONNRESET', times: Infinity, ...within(6_000, 60_000) });
      kinesis.fail('getRecords', { name: 'ExpiredTokenException', times: Infinity, ...within(60_000, 70_000) });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(100_000);
      expect([worker.error, worker.texts()]).toEqual([undefined, ['a']]);
    }));

  it('waits for a permission of enhanced fan-out that is withdrawn for a while', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ fanOut: true });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(5_000);
      const when = ({ at }: { readonly at: number }): boolean => at < 40_000;
      for (const operation of ['describeStreamConsumer', 'subscribeToShard'] as const) {
        kinesis.fail(operation, { name: 'AccessDeniedException', times: Infinity, when });
      }
      // The consumer is to be looked for again.
      kinesis.deregister('s', 'c');
      kinesis.stream('s').append(0, 'b');
      helpers.advanceTo(100_000);
      expect([worker.error, worker.texts()]).toEqual([undefined, ['a', 'b']]);
    }));
});

type Call = keyof LeaseStore;

/** A store that says `error` for as long as it is told to; of the given calls, or of all. */
function refusing(error: Error, calls: readonly Call[] = ['list', 'add', 'write', 'remove']) {
  const store = memoryLeaseStore();
  const state = { refuses: true };
  const call = <A extends unknown[], R>(name: Call, work: (...given: A) => R): ((...given: A) => R) =>
    ((...given: A) =>
      state.refuses && calls.includes(name) ? throwError(() => error) : work(...given)) as typeof work;
  const leases: LeaseStore = {
    list: call('list', store.list),
    add: call('add', store.add),
    write: call('write', store.write),
    remove: call('remove', store.remove),
  };
  return { leases, state };
}

const noTable = new SluiceError('schema-mismatch', 'store: run the migration 0003.');
const wrongPassword = new SluiceError('authentication-failed', 'store: look at the password.');
const marked = permanent(new Error('no such table'));
const unknown = Object.assign(new Error('secret'), { name: 'ThroughputError' });

describe('a lease store that refuses', () => {
  it.each([
    ['schema-mismatch', noTable],
    ['authentication-failed', wrongPassword],
    ['store-failed', marked],
  ])('ends a source at its start: %s', (code, error) =>
    marbles((helpers) => {
      const worker = workersOf(helpers, fakeKinesis()).start({ leases: refusing(error).leases });
      helpers.advanceTo(1_000);
      expect(codeOf(worker)).toBe(code);
    }),
  );

  it.each<Call>(['add', 'write'])('ends it where it may be read and not written to: %s', (call) =>
    marbles((helpers) => {
      const denied = new SluiceError('not-authorized', 'store: grant INSERT.');
      const worker = workersOf(helpers, fakeKinesis()).start({ leases: refusing(denied, [call]).leases });
      helpers.advanceTo(1_000);
      expect(codeOf(worker)).toBe('not-authorized');
    }),
  );

  it('is waited for where it has worked, until refusalTimeoutMs', () =>
    marbles((helpers) => {
      const { leases, state } = refusing(wrongPassword);
      state.refuses = false;
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ leases, refusalTimeoutMs: 60_000 });
      helpers.advanceTo(5_000);
      state.refuses = true;
      helpers.advanceTo(40_000);
      state.refuses = false;
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(60_000);
      expect([worker.error, worker.texts()]).toEqual([undefined, ['a']]);
      expect([worker.eventsOf('unavailable').length, worker.eventsOf('recovered').length]).toEqual([1, 1]);
      state.refuses = true;
      helpers.advanceTo(115_000);
      expect(worker.error).toBe(undefined);
      helpers.advanceTo(140_000);
      expect(codeOf(worker)).toBe('authentication-failed');
    }));

  it('that fails in a way nobody knows, and has never worked, ends it after refusalTimeoutMs', () =>
    marbles((helpers) => {
      const { leases } = refusing(unknown);
      const worker = workersOf(helpers, fakeKinesis()).start({ leases, refusalTimeoutMs: 30_000 });
      helpers.advanceTo(29_000);
      expect([worker.error, worker.eventsOf('unavailable').length]).toEqual([undefined, 1]);
      helpers.advanceTo(45_000);
      expect(worker.error).toMatchObject({ code: 'store-failed', cause: unknown });
      expect((worker.error as Error).message).toMatch(
        /^fromKinesis \(stream s\): the lease store failed: ThroughputError\. The cause says more\. It has been so for 3\d s \(refusalTimeoutMs\)\.$/,
      );
    }));

  it('that fails in a way nobody knows, and has worked, never ends it', () =>
    marbles((helpers) => {
      const { leases, state } = refusing(unknown);
      state.refuses = false;
      const worker = workersOf(helpers, fakeKinesis()).start({ leases, refusalTimeoutMs: 30_000 });
      helpers.advanceTo(5_000);
      state.refuses = true;
      helpers.advanceTo(200_000);
      expect([worker.error, worker.eventsOf('unavailable').length]).toEqual([undefined, 1]);
      state.refuses = false;
      helpers.advanceTo(220_000);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
    }));
});
