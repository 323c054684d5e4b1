import type { Observable } from 'rxjs';
import type { Delivery } from '../../core/delivery.js';
import { logSource } from '../../core/log-engine.js';
import { connectKinesis } from './kinesis-adapter.js';
import type { KinesisClientLike } from './kinesis-client.js';
import { resolveKinesisOptions, type KinesisSourceOptions } from './kinesis-options.js';
import { kinesisShape, type KinesisPosition, type KinesisRecord } from './kinesis-record.js';

/**
 * Reads a stream of Kinesis as one of the workers of a consumer, over a `Kinesis` of `@aws-sdk/client-kinesis` 3 that stays
 * yours. Every shard, through splits and merges: what a shard became is read once all of it is done. Messages that the KPL
 * has aggregated come one by one. By polling, or with `fanOut` by enhanced fan-out.
 *
 * ```ts
 * fromKinesis(client, { stream: 'clicks', consumer: 'billing', leases: postgresLeaseStore(pool) })
 * ```
 *
 * Delivery: at least once; a message comes again until it is settled. A clean stop, and a shard that is handed over to
 * another worker, repeat nothing that is done within `drainTimeoutMs`; after a crash at most what was finished since the last
 * checkpoint and what was under way comes again, once its lease has run out (`leaseMs`). Order: as stored, within a shard,
 * and of a key through a reshard. `until: 'end'` completes once all that was there is done, by whichever worker. Throttling and lost connections are mended; outages are told as `unavailable`, of the
 * lease store too. Fails with `connection-failed` (before the first answer), `authentication-failed`, `not-authorized`,
 * `unknown-topic` or `source-failed`, at once where that is the first answer, else after `refusalTimeoutMs`; with `position-lost`; and
 * alike with the error of a lease store that refuses, such as `schema-mismatch`.
 * @public
 */
export function fromKinesis(
  client: KinesisClientLike,
  options: KinesisSourceOptions,
): Observable<Delivery<Uint8Array | null, KinesisPosition>> {
  const resolved = resolveKinesisOptions(client, options);
  return logSource<KinesisRecord, KinesisPosition>({
    name: 'fromKinesis',
    group: options.consumer,
    options,
    shape: kinesisShape,
    commitIntervalMs: resolved.checkpointIntervalMs,
    commitEvery: resolved.checkpointEvery,
    commitsAbove: true,
    connect: (engine) => connectKinesis(engine, client, resolved),
  });
}
