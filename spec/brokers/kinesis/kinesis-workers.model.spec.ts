import { describe, expect, it } from '@jest/globals';
import { asyncScheduler, from, tap, type Observable } from 'rxjs';
import { decodeAcked } from '../../../lib/core/acked-above.js';
import type { Delivery } from '../../../lib/core/delivery.js';
import { environment } from '../../../lib/core/environment.js';
import { SluiceError } from '../../../lib/core/errors.js';
import type { LeaseStore, ShardLease } from '../../../lib/core/lease-store.js';
import { fromKinesis } from '../../../lib/brokers/kinesis/from-kinesis.js';
import { decodeCheckpoint, isDone, isEnd } from '../../../lib/brokers/kinesis/kinesis-checkpoint.js';
import type { KinesisClientLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import { ordered } from '../../../lib/operators/ordered.js';
import { memoryLeaseStore } from '../../../lib/stores/memory/memory-lease-store.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import type { FakeShard } from '../../support/kinesis-fake-stream.js';
import { GROUP } from '../../support/kinesis-workers.js';
import { cutOff, faultyLeases, type FaultyLeases, type LeaseFault } from '../../support/lease-faults.js';
import { marbles, type Drive, type Marbles } from '../../support/marbles.js';
import { choices, type Choices } from '../../model/random.js';

const SOAK = process.env['RXSLUICE_SOAK'] === '1';
const REPLAY = process.env['RXSLUICE_SEED'];
const RUNS = REPLAY !== undefined ? 1 : SOAK ? 2_000 : 24;
const FIRST_SEED = REPLAY !== undefined ? Number(REPLAY) : 1 + Math.floor(Math.random() * 1_000_000);

const LEASE_MS = 3_000;
const DRAIN_MS = 5_000;
const KEYS = [...'abcdefghij'];
const READS = ['getRecords', 'getShardIterator', 'listShards', 'describeStreamSummary'] as const;
const FAN_OUT_CALLS = ['subscribeToShard', 'subscribeToShard', 'describeStreamConsumer'] as const;
const STREAM_ERRORS = ['InternalFailureException', 'ResourceInUseException', 'KMSThrottlingException'] as const;
const FAULTS: readonly LeaseFault[] = ['fails', 'hangs', 'done and fails', 'done and hangs', 'done and denied'];

interface Member {
  readonly name: string;
  readonly leases: FaultyLeases;
  readonly drive: Drive<Delivery<Uint8Array | null>>;
  readonly stop: AbortController;
  isGone: boolean;
}

interface Report {
  readonly wrong: string[];
  readonly sent: number;
  readonly repeats: number;
  readonly log: readonly string[];
}

/**
 * One random life of a consumer. A gentle one knows joins, clean leaves, reshards, nacks and throttling; a rough one kills,
 * pauses and cuts off too. Some read `until: 'end'`, and complete once all is done that was there as they joined. Then all is
 * mended, and everything must have been done.
 */
function live(seed: number, helpers: Marbles): Report {
  const choice = choices(seed);
  const isRough = choice.chance(0.6);
  const kinesis = fakeKinesis({ s: 1 + choice.below(4) });
  kinesis.latencyMs = () => 1 + choice.below(20);
  kinesis.endOfShard = choice.chance(0.5) ? 'last-records' : 'empty-page';
  kinesis.childShards = choice.chance(0.5);
  kinesis.endContinues = choice.chance(0.5);
  kinesis.fanOut.eventRecords = 1 + choice.below(30);
  if (choice.chance(0.3)) kinesis.fanOut.subscriptionMs = 8_000;
  if (choice.chance(0.3)) kinesis.shardsPerPage = 2;
  environment.random = () => choice.next();

  const world = createWorld(helpers, kinesis, choice, isRough);
  world.join();
  const steps = 20 + choice.below(40);
  for (let step = 0; step < steps; step++) {
    world.step();
    helpers.advanceTo(helpers.now() + 100 + choice.below(1_400));
  }
  world.mend();
  // One that has no first answer of Kinesis fails, and faults may wait for the next who asks.
  for (let tries = 0; tries < 16; tries++) {
    world.joinIfNone();
    helpers.advanceTo(helpers.now() + 5_000);
  }
  helpers.advanceTo(helpers.now() + 90_000);
  world.checkDone();
  return world.report();
}

function createWorld(helpers: Marbles, kinesis: FakeKinesis, choice: Choices, isRough: boolean) {
  const stream = kinesis.stream('s');
  // How many of the workers read by fan-out.
  const fanOutShare = choice.chance(0.5) ? choice.next() * 1.5 : 0;
  const log: string[] = [`${isRough ? 'rough' : 'gentle'}, ${stream.shards.size} shards, fan-out ${fanOutShare}`];
  const wrong: string[] = [];
  const members: Member[] = [];
  const settled = new Map<string, number>();
  const lastOf = new Map<string, number>();
  /** When a shard was last taken from whom. */
  const left = new Map<string, number>();
  const owners = new Map<string, string | null>();
  const sent: string[] = [];
  let mended = false;

  const say = (text: string): void => void log.push(`${helpers.now()}: ${text}`);
  const blame = (text: string): void => {
    say(`WRONG ${text}`);
    wrong.push(text);
  };
  const rows = (): Map<string, ShardLease> => {
    const found = new Map<string, ShardLease>();
    (memory.list(GROUP) as Observable<readonly ShardLease[]>).subscribe((all) =>
      all.forEach((row) => found.set(row.shard, row)),
    );
    return found;
  };
  const shardNamed = (id: string): FakeShard =>
    [...stream.shards.values()].find((shard) => shard.id === id) as FakeShard;

  const checkRow = ({ shard, checkpoint, acked }: ShardLease): void => {
    const parsed = decodeCheckpoint(checkpoint);
    if (parsed === null) return blame(`${shard} has the checkpoint ${checkpoint}`);
    const records = shardNamed(shard).records.map(({ sequenceNumber, data }) => ({
      text: Buffer.from(data).toString(),
      isBelow: isEnd(checkpoint) || isDone(parsed, { sequenceNumber, subSequenceNumber: null }),
    }));
    for (const { text, isBelow } of records) {
      if (isBelow && !settled.has(text)) blame(`the checkpoint of ${shard} passed ${text} (I1)`);
    }
    const above = records.filter(({ isBelow }) => !isBelow);
    for (const distance of decodeAcked(acked)) {
      const text = above[distance]?.text;
      if (text === undefined || !settled.has(text)) blame(`${shard} counts ${text} as done`);
    }
  };

  const memory = memoryLeaseStore();
  const watched: LeaseStore = {
    ...memory,
    write: (group, leases) =>
      from(memory.write(group, leases)).pipe(
        tap((made) =>
          leases.forEach((row, index) => {
            if (made[index] !== true) return;
            const before = owners.get(row.shard) ?? null;
            if (before !== null && before !== row.owner) left.set(`${row.shard} ${before}`, helpers.now());
            owners.set(row.shard, row.owner);
            checkRow(row);
          }),
        ),
      ),
  };

  const checkRead = (name: string, shard: string): void => {
    const all = rows();
    for (const parent of all.get(shard)?.parents ?? []) {
      const row = all.get(parent);
      if (row !== undefined && !isEnd(row.checkpoint)) blame(`${shard} is read before ${parent} is done`);
    }
    const owner = all.get(shard)?.owner ?? null;
    if (owner?.split(' ')[0] === name) return;
    const since = [...left].find(([key]) => key.startsWith(`${shard} ${name} `))?.[1] ?? -Infinity;
    if (!isRough || helpers.now() - since > LEASE_MS) blame(`${name} reads ${shard} of ${owner}`);
  };

  const clientOf = (name: string): KinesisClientLike => ({
    ...kinesis,
    getRecords: (input, options) => {
      const answer = kinesis.getRecords(input, options);
      checkRead(name, kinesis.calls.at(-1)?.shard as string);
      return answer;
    },
    subscribeToShard: (input, options) => {
      checkRead(name, input.ShardId);
      return kinesis.subscribeToShard(input, options);
    },
  });

  const take = (delivery: Delivery<Uint8Array | null>): void => {
    const ms = mended ? 1 : choice.below(4) === 0 ? choice.below(2_000) : choice.below(100);
    asyncScheduler.schedule(() => {
      if (!mended && choice.chance(0.1)) delivery.nack(new Error('nacked'));
      else delivery.ack();
    }, ms);
  };

  const noteSettled = (id: string): void => {
    const [, shard, sequenceNumber] = id.split('/') as [string, string, string];
    const record = shardNamed(shard).records.find((one) => one.sequenceNumber === sequenceNumber);
    const text = Buffer.from(record?.data ?? []).toString();
    const times = (settled.get(text) ?? 0) + 1;
    settled.set(text, times);
    if (times > 1) return isRough ? undefined : blame(`${text} is done ${times} times`);
    const [key, number] = text.split('/') as [string, string];
    if (!isRough && Number(number) < (lastOf.get(key) ?? -1)) blame(`${text} is done after ${key}/${lastOf.get(key)}`);
    lastOf.set(key, Number(number));
  };

  const join = (): void => {
    const name = `w${members.length}`;
    const leases = faultyLeases(watched);
    leases.latencyMs = choice.below(20);
    const stop = new AbortController();
    const fans = choice.chance(fanOutShare);
    const isJob = !mended && choice.chance(0.3);
    say(`${name} joins${isJob ? ' as a job' : ''}${fans ? ' by fan-out' : ''}`);
    const source = fromKinesis(clientOf(name), {
      stream: 's',
      consumer: 'c',
      leases,
      worker: name,
      leaseMs: LEASE_MS,
      drainTimeoutMs: DRAIN_MS,
      readIntervalMs: 500,
      pollMs: 1_000,
      checkpointIntervalMs: choice.below(1_500),
      requestTimeoutMs: 2_000,
      shardSyncMs: 20_000,
      recordsPerRead: 10 + choice.below(30),
      maxInFlight: 1 + choice.below(40),
      maxBufferedBytes: choice.chance(0.5) ? 400 + choice.below(4_000) : 1_000_000,
      ...(isJob ? { until: 'end' as const } : {}),
      ...(fans ? { fanOut: { consumerName: 'efo' } } : {}),
      stop: stop.signal,
      telemetry: (event) => {
        if (event.type === 'settled') noteSettled(event.message.id);
        if (event.type === 'assigned' || event.type === 'revoked')
          say(`${name}: ${event.type} ${event.partition.partition}`);
      },
    });
    const before = sent.length;
    const completes = (): void => {
      if (!isJob || member.isGone) return;
      const undone = sent.slice(0, before).filter((text) => !settled.has(text));
      if (undone.length > 0) blame(`the job ${name} completes without ${undone.join(' ')}`);
    };
    const drive = helpers.drive(source.pipe(ordered({ by: 'key' }), tap({ complete: completes })), take);
    const member: Member = { name, leases, drive, stop, isGone: false };
    members.push(member);
  };

  const here = (): Member[] =>
    members.filter(({ isGone, drive }) => !isGone && drive.error === undefined && !drive.completed);
  const anyOf = <T>(all: readonly T[]): T => all[choice.below(all.length)] as T;
  const put = (): void => {
    const count = choice.below(15);
    for (let i = 0; i < count; i++) {
      const key = anyOf(KEYS);
      const text = `${key}/${sent.length}`;
      sent.push(text);
      stream.put(key, text);
    }
  };
  const reshard = (): void => {
    const open = [...stream.shards.values()].filter(({ closedAt }) => closedAt === undefined);
    const count = Math.max(1, Math.min(6, open.length + (choice.chance(0.5) ? 1 : -1)));
    say(`${count} shards`);
    stream.updateShardCount(count);
  };
  const leave = (member: Member, how: 'stops' | 'unsubscribes' | 'is killed'): void => {
    say(`${member.name} ${how}`);
    member.isGone = true;
    if (how === 'is killed') cutOff(member.leases);
    if (how === 'stops') member.stop.abort();
    else member.drive.unsubscribe();
  };
  const fail = (member: Member): void => {
    const fault = anyOf(FAULTS);
    const share = choice.chance(0.5) ? 1 : 0.4;
    const ms = choice.below(10_000);
    say(`${member.name}: its store ${fault} for ${ms} ms, ${share}`);
    member.leases.fault = () => (choice.chance(share) ? fault : null);
    asyncScheduler.schedule(() => {
      if (!member.isGone) member.leases.fault = () => null;
    }, ms);
  };
  const disturb = (): void => {
    const operation = anyOf([...READS, ...(fanOutShare > 0 ? FAN_OUT_CALLS : [])]);
    const times = 1 + choice.below(4);
    const kind = isRough ? choice.below(4) : 0;
    say(`${operation} fails ${times} times: ${kind}`);
    if (kind === 0) kinesis.fail(operation, { name: 'ProvisionedThroughputExceededException', times });
    else if (kind === 1) kinesis.fail(operation, { code: 'ECONNRESET', times, done: choice.chance(0.5) });
    else if (kind === 2) kinesis.hang(operation, { times });
    else kinesis.fail('getRecords', { name: 'ExpiredIteratorException', times });
  };

  // Of fan-out: as the service ends them, and as the network does.
  const endSubscriptions = (): void => {
    for (const open of kinesis.openSubscriptions()) {
      const what = choice.below(6);
      if (what === 0) open.end();
      else if (what === 1) open.fail({ name: anyOf(STREAM_ERRORS) });
      else if (what === 2) open.fail({ code: 'ECONNRESET' });
    }
  };

  return {
    join,
    step: () => {
      put();
      if (choice.chance(0.2)) endSubscriptions();
      const what = choice.below(20);
      const all = here();
      if (what < 2 && all.length < 5) join();
      else if (what < 4 && all.length > 1) leave(anyOf(all), choice.chance(0.5) ? 'stops' : 'unsubscribes');
      else if (what < 7) reshard();
      else if (what < 9) disturb();
      else if (what < 11 && isRough && all.length > 0) fail(anyOf(all));
      else if (what < 13 && isRough) all.forEach((member) => choice.chance(0.7) && fail(member));
      else if (what < 14 && isRough && all.length > 1) leave(anyOf(all), 'is killed');
    },
    mend: () => {
      say('all is mended');
      mended = true;
      for (const member of here()) member.leases.fault = () => null;
      join();
    },
    joinIfNone: () => {
      if (here().length === 0) join();
    },
    checkDone: () => {
      for (const { name, drive } of members) {
        const { error } = drive;
        if (error === undefined || (error instanceof SluiceError && error.code === 'connection-failed')) continue;
        blame(`${name} failed: ${String((error as Error).stack)}`);
      }
      const lost = sent.filter((text) => !settled.has(text));
      if (lost.length > 0) blame(`lost: ${lost.join(' ')}`);
      for (const { shard, checkpoint, acked, owner } of rows().values()) {
        const { closedAt, records } = shardNamed(shard);
        const last = records.at(-1)?.sequenceNumber;
        const expected = closedAt === undefined ? (last === undefined ? checkpoint : `AFTER ${last}`) : 'SHARD_END';
        if (checkpoint !== expected || acked !== '') blame(`${shard} is left at ${checkpoint} ${acked}, of ${owner}`);
      }
      for (const { drive } of members) drive.unsubscribe();
      helpers.advanceTo(helpers.now() + 40_000);
      if (helpers.scheduler.actions.length > 0) blame(`${helpers.scheduler.actions.length} timers are left`);
      if (kinesis.openCalls().length > 0) blame('calls are left open');
      if (kinesis.openSubscriptions().length > 0) blame('subscriptions are left open');
    },
    report: (): Report => ({
      wrong,
      sent: sent.length,
      repeats: [...settled.values()].reduce((sum, times) => sum + times - 1, 0),
      log,
    }),
  };
}

describe('workers of fromKinesis against their model', () => {
  it(`lose nothing, keep I1 and the order of keys in ${RUNS} random lives from seed ${FIRST_SEED}`, () => {
    let [sent, repeats] = [0, 0];
    for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
      let report: Report | null = null;
      try {
        marbles((helpers) => void (report = live(seed, helpers)));
      } catch (error) {
        throw new Error(`RXSLUICE_SEED=${seed} replays this`, { cause: error });
      }
      const { wrong, log, ...counts } = report as unknown as Report;
      if (wrong.length > 0) {
        throw new Error(
          `RXSLUICE_SEED=${seed} replays this:\n${wrong.slice(0, 8).join('\n')}\n--- log\n${log.join('\n')}`,
        );
      }
      sent += counts.sent;
      repeats += counts.repeats;
    }
    console.log(`${RUNS} lives from seed ${FIRST_SEED}: ${sent} messages, ${repeats} of them done more than once`);
    expect(sent).toBeGreaterThan(RUNS * 20);
  });
});
