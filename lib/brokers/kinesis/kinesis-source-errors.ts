import { nameOf, SluiceError } from '../../core/errors.js';

const OWNER = 'fromKinesis';

/** @internal */
export function noShard(stream: string, shard: string): SluiceError {
  return new SluiceError(
    'source-failed',
    `${OWNER} (stream ${stream}): Kinesis lists ${shard} and says that there is none. Begin anew; if it stays so, ask AWS.`,
    { details: { owner: OWNER, stream, shard } },
  );
}

/** An error of a lease store that is none of ours. @internal */
export function strangeStore(stream: string, cause: unknown): SluiceError {
  return new SluiceError(
    'store-failed',
    `${OWNER} (stream ${stream}): the lease store failed: ${nameOf(cause)}. The cause says more.`,
    {
      cause,
      details: { owner: OWNER, stream },
    },
  );
}

/** A lease store that names this worker as the owner of a row, and does not write the row. @internal */
export function refusingStore(stream: string, shard: string): SluiceError {
  return new SluiceError(
    'store-failed',
    `${OWNER} (stream ${stream}): the lease store answers again and again that it has not written the row of ${shard}, and lists ` +
      'the row as that of this worker. So the lease cannot be renewed, and the shard is not read once it has run out. Look at ' +
      'what keeps the store from writing: a trigger or a rule of the table, or a `write` that answers `false` for what it did.',
    { details: { owner: OWNER, stream, shard } },
  );
}

/** @internal */
export function strangeCheckpoint(stream: string, shard: string): SluiceError {
  return new SluiceError(
    'store-failed',
    `${OWNER} (stream ${stream}): the lease of ${shard} has a checkpoint that no version of this library has written. ` +
      'Another program has changed the row: put it right, or remove the rows of the consumer to begin anew.',
    { details: { owner: OWNER, stream, shard } },
  );
}
