import type { Observable } from 'rxjs';
import type { Delivery } from '../../core/delivery.js';
import { logSource } from '../../core/log-engine.js';
import { connectKafka } from './kafka-adapter.js';
import type { KafkaClientLike, KafkaRecord } from './kafka-client.js';
import { resolveKafkaOptions, type KafkaSourceOptions } from './kafka-options.js';
import { kafkaShape, type KafkaPosition } from './kafka-record.js';

/**
 * Reads topics of Kafka as one member of a consumer group, over a `Kafka` of kafkajs 2.2.4 that stays yours.
 *
 * ```ts
 * fromKafka(kafka, { groupId: 'billing', topics: ['orders'], maxInFlight: 512 })
 * ```
 *
 * Delivery: at least once; a message comes again until it is settled. A clean stop, and a rebalance whose started work
 * ends within `drainTimeoutMs`, repeats nothing; after a crash at most what was finished since the last commit and what
 * was under way comes again. Order: as published, within a partition. Lost connections are mended, and told as
 * `unavailable`. Fails with `connection-failed` (before it first joined), `authentication-failed`, `not-authorized`,
 * `unknown-topic`, `position-lost`, `twin-consumer`, `unsupported` (a codec that is not registered) or `source-failed`.
 * @public
 */
export function fromKafka(
  client: KafkaClientLike,
  options: KafkaSourceOptions,
): Observable<Delivery<Uint8Array | null, KafkaPosition>> {
  const resolved = resolveKafkaOptions(client, options);
  return logSource<KafkaRecord, KafkaPosition>({
    name: 'fromKafka',
    group: options.groupId,
    options,
    shape: kafkaShape,
    commitIntervalMs: resolved.commitIntervalMs,
    commitEvery: resolved.commitEvery,
    commitsAbove: true,
    connect: (engine) => connectKafka(engine, client, resolved),
  });
}
