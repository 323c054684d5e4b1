import { waitUntilTableExists, type DynamoDB } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { lastValueFrom, from, type ObservableInput } from 'rxjs';
import { dynamoLeaseStore, leaseTable } from '../../examples/04-dynamodb-leases/dynamo-lease-store.js';
import { newLease, nextOf } from '../../lib/testing/lease-rows.js';
import { startDynalite, type DynaliteServer } from '../servers/dynalite.js';
import { runExample } from '../support/run-example.js';

const GROUP = { consumer: 'billing', stream: 'orders' };
const TABLE = 'leases';

const last = <R>(input: ObservableInput<R>): Promise<R> => lastValueFrom(from(input));

/** A client that loses the answers to its next writes, and tries again by itself. */
function forgetful(client: DynamoDB, answers: number): DynamoDB {
  let left = answers;
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const answer = await next(args);
        if (commandName !== 'QueryCommand' && left-- > 0) {
          throw Object.assign(new Error('socket hang up'), { name: 'TimeoutError' });
        }
        return answer;
      },
    { step: 'deserialize', priority: 'low' },
  );
  return client;
}

// What every lease store does is in spec/conformance/lease-store.spec.ts.
describe('dynamoLeaseStore, the example', () => {
  let dynalite: DynaliteServer;
  beforeAll(async () => {
    dynalite = await startDynalite();
    const db = dynalite.newClient();
    await db.createTable(leaseTable(TABLE));
    await waitUntilTableExists({ client: db, maxWaitTime: 10, minDelay: 0.01, maxDelay: 0.1 }, { TableName: TABLE });
  });
  afterAll(() => dynalite.stop());

  it('fails where the client has lost the answer to a write and tried again, and the list tells what is', async () => {
    const store = dynamoLeaseStore(forgetful(dynalite.newClient(), 1), TABLE);
    const row = newLease('lost');
    await last(dynamoLeaseStore(dynalite.newClient(), TABLE).add(GROUP, [row]));
    const taken = nextOf(row, { owner: 'ann' });
    await expect(last(store.write(GROUP, [taken]))).rejects.toMatchObject({
      name: 'ConditionalCheckFailedException',
      $metadata: { attempts: 2 },
    });
    expect(await last(store.list(GROUP))).toEqual([taken]);
    expect(await last(store.write(GROUP, [taken]))).toEqual([false]);
  });

  it('fails where there is no answer at all', async () => {
    const client = dynalite.newClient({ endpoint: 'http://127.0.0.1:1', maxAttempts: 1 });
    const store = dynamoLeaseStore(client, TABLE);
    await expect(last(store.list(GROUP))).rejects.toThrow('ECONNREFUSED');
    await expect(last(store.write(GROUP, [newLease('x')]))).rejects.toThrow('ECONNREFUSED');
  });
});

it('the example of leases gives each shard one owner, and those of a silent worker another', async () => {
  const { code, stdout } = await runExample('04-dynamodb-leases');
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout:
      '24 shards, 24 of them taken, 0 of them twice\n' +
      'Of the shards of a silent worker another took all; of its late writes none counted\n',
  });
});
