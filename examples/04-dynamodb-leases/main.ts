// Three workers share the shards of a stream by a table of DynamoDB. On dynalite, a DynamoDB in this process.
import { waitUntilTableExists } from '@aws-sdk/client-dynamodb';
import { defer, lastValueFrom } from 'rxjs';
import type { LeaseGroup, LeaseStore, ShardLease } from 'rxsluice';
import { startDynalite } from '../../spec/servers/dynalite.js';
import { dynamoLeaseStore, leaseTable } from './dynamo-lease-store.js';

const SHARDS = 24;
const group: LeaseGroup = { consumer: 'billing', stream: 'orders' };

const dynalite = await startDynalite();
try {
  const db = dynalite.newClient();
  await db.createTable(leaseTable('leases'));
  await waitUntilTableExists({ client: db, maxWaitTime: 60, minDelay: 1 }, { TableName: 'leases' });
  const workers = ['ann', 'bob', 'cid'].map((name) => ({
    name,
    store: dynamoLeaseStore(dynalite.newClient(), 'leases'),
  }));
  const [ann, bob] = workers as [Worker, Worker];

  // All start at once: each adds every shard, and takes what it sees to be free. One of them wins each.
  const taken = await Promise.all(
    workers.map(async ({ name, store }) => {
      const shards = Array.from({ length: SHARDS }, (_, n) => newLease(`shard-${n}`));
      await lastValueFrom(defer(() => store.add(group, shards)));
      return take(
        store,
        name,
        (await list(store)).filter(({ owner }) => owner === null),
      );
    }),
  );
  const owned = new Set(taken.flat().map(({ shard }) => shard));
  console.log(`${SHARDS} shards, ${owned.size} of them taken, ${taken.flat().length - owned.size} of them twice`);

  // Ann is silent: her counters stand still. Bob takes what she had; her late checkpoints change nothing.
  const hers = taken[0] as readonly ShardLease[];
  const gained = await take(bob.store, bob.name, hers);
  const late = await take(ann.store, ann.name, hers);
  console.log(
    `Of the shards of a silent worker another took ${share(gained, hers)}; of its late writes ${share(late, hers)} counted`,
  );
  if (owned.size !== SHARDS || gained.length !== hers.length || late.length !== 0) process.exitCode = 1;
} finally {
  await dynalite.stop();
}

interface Worker {
  readonly name: string;
  readonly store: LeaseStore;
}

function newLease(shard: string): ShardLease {
  const position = { checkpoint: 'TRIM_HORIZON', acked: '', doneUntil: 0 };
  return { shard, counter: 0, owner: null, wantedBy: null, ...position, parents: [] };
}

function list(store: LeaseStore): Promise<readonly ShardLease[]> {
  return lastValueFrom(defer(() => store.list(group)));
}

/** Those that it got. */
async function take(store: LeaseStore, owner: string, leases: readonly ShardLease[]): Promise<readonly ShardLease[]> {
  const next = leases.map((lease) => ({ ...lease, owner, counter: lease.counter + 1 }));
  const answers = await lastValueFrom(defer(() => store.write(group, next)));
  return next.filter((_, index) => answers[index]);
}

function share(some: readonly unknown[], all: readonly unknown[]): string {
  return some.length === all.length ? 'all' : some.length === 0 ? 'none' : `${some.length} of ${all.length}`;
}
