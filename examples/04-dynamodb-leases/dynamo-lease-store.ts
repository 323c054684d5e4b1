import {
  ConditionalCheckFailedException,
  paginateQuery,
  type AttributeValue,
  type CreateTableCommandInput,
  type DynamoDB,
} from '@aws-sdk/client-dynamodb';
import { from, map, mergeMap, toArray, type Observable } from 'rxjs';
import { permanent, type LeaseGroup, type LeaseStore, type ShardLease } from 'rxsluice';

type Item = Record<string, AttributeValue>;

/** How many rows of a call are written at once. */
const CONCURRENCY = 16;

/** Errors that last until somebody acts: by their mark a source ends instead of waiting for a table that nobody has made. */
const LASTING = new Set([
  'AccessDeniedException',
  'CredentialsProviderError',
  'ResourceNotFoundException',
  'UnrecognizedClientException',
]);

/** The table, one item a shard. No attribute has a name that DynamoDB reserves. */
export function leaseTable(TableName: string): CreateTableCommandInput {
  return {
    TableName,
    AttributeDefinitions: [
      { AttributeName: 'leaseGroup', AttributeType: 'S' },
      { AttributeName: 'leaseKey', AttributeType: 'S' },
    ],
    KeySchema: [
      { AttributeName: 'leaseGroup', KeyType: 'HASH' },
      { AttributeName: 'leaseKey', KeyType: 'RANGE' },
    ],
    BillingMode: 'PAY_PER_REQUEST',
  };
}

/**
 * Leases and checkpoints in a table of DynamoDB. Each row is a conditional write of its own: no transactions, no time to live,
 * no items in answers. Give the client a `requestTimeout`: a call that hangs is to fail.
 */
export function dynamoLeaseStore(db: DynamoDB, TableName: string): LeaseStore {
  const put = (Item: Item, ConditionExpression: string, ExpressionAttributeValues?: Item): Promise<boolean> =>
    holds(db.putItem({ TableName, Item, ConditionExpression, ExpressionAttributeValues }));

  return {
    list: async ({ consumer, stream }) => {
      const pages = paginateQuery(
        { client: db },
        {
          TableName,
          ConsistentRead: true,
          KeyConditionExpression: 'leaseGroup = :group',
          ExpressionAttributeValues: { ':group': nameOf({ consumer, stream }) },
        },
      );
      const leases: ShardLease[] = [];
      try {
        for await (const { Items = [] } of pages) leases.push(...Items.map(leaseOf));
      } catch (error) {
        throw marked(error);
      }
      return leases;
    },
    add: (group, leases) => each(leases, (lease) => put(itemOf(group, lease), 'attribute_not_exists(leaseKey)')),
    write: (group, leases) =>
      each(leases, (lease) =>
        put(itemOf(group, lease), 'leaseCounter = :before', { ':before': { N: String(lease.counter - 1) } }),
      ),
    remove: (group, leases) =>
      each(leases, ({ shard, counter }) =>
        holds(
          db.deleteItem({
            TableName,
            Key: { leaseGroup: nameOf(group), leaseKey: { S: shard } },
            ConditionExpression: 'leaseCounter = :stored',
            ExpressionAttributeValues: { ':stored': { N: String(counter) } },
          }),
        ),
      ),
  };
}

/** Whether the condition of a write held. */
async function holds(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    // The client repeats a call that got no answer. Where a repeat is refused, the first try may have been what moved the
    // counter: nobody knows, so it is an error and not `false`.
    if (error instanceof ConditionalCheckFailedException && error.$metadata.attempts === 1) return false;
    throw marked(error);
  }
}

function marked(error: unknown): unknown {
  return error instanceof Error && LASTING.has(error.name) ? permanent(error) : error;
}

/** Answers in the order of the rows. */
function each<L>(leases: readonly L[], write: (lease: L) => Promise<boolean>): Observable<readonly boolean[]> {
  return from(leases).pipe(
    mergeMap(async (lease, index) => ({ index, written: await write(lease) }), CONCURRENCY),
    toArray(),
    map((answers) => answers.sort((left, right) => left.index - right.index).map(({ written }) => written)),
  );
}

/** As JSON, so that no two groups have the same name. */
function nameOf({ consumer, stream }: LeaseGroup): AttributeValue.SMember {
  return { S: JSON.stringify([consumer, stream]) };
}

function itemOf(group: LeaseGroup, lease: ShardLease): Item {
  return {
    leaseGroup: nameOf(group),
    leaseKey: { S: lease.shard },
    leaseCounter: { N: String(lease.counter) },
    ...(lease.owner !== null && { leaseOwner: { S: lease.owner } }),
    ...(lease.wantedBy !== null && { wantedBy: { S: lease.wantedBy } }),
    checkpoint: { S: lease.checkpoint },
    acked: { S: lease.acked },
    doneUntil: { N: String(lease.doneUntil) },
    parents: { L: lease.parents.map((shard) => ({ S: shard })) },
  };
}

function leaseOf(item: Item): ShardLease {
  return {
    shard: item['leaseKey']?.S ?? '',
    counter: Number(item['leaseCounter']?.N),
    owner: item['leaseOwner']?.S ?? null,
    wantedBy: item['wantedBy']?.S ?? null,
    checkpoint: item['checkpoint']?.S ?? '',
    acked: item['acked']?.S ?? '',
    doneUntil: Number(item['doneUntil']?.N),
    parents: (item['parents']?.L ?? []).map(({ S = '' }) => S),
  };
}
