// Deliveries and messages
export type { BatchDelivery } from './core/batch-delivery.js';
export type { Delivery, NackOptions } from './core/delivery.js';
export type { HeaderValue, Message, MessageBytes, MessageHeaders } from './core/message.js';
export type { Outcome } from './core/outcome.js';
export type { Position } from './core/position.js';
export type { Result, Returned } from './core/returned.js';
export type { AtOnce, Deliveries, Taken, TypeHints, UndecodedDeliveries } from './core/type-hints.js';

// Operators
export { ackEach } from './operators/ack-each.js';
export { batch } from './operators/batch.js';
export type { BatchOptions } from './operators/batch.js';
export { decode } from './operators/decode.js';
export type { Codec } from './operators/decode.js';
export { dedupe } from './operators/dedupe.js';
export type { DedupeOptions } from './operators/dedupe.js';
export { fanOut } from './operators/fan-out.js';
export { filterValue } from './operators/filter-value.js';
export { fromOutbox } from './operators/from-outbox.js';
export { handle } from './operators/handle.js';
export type { HandleOptions, HandlerResult } from './operators/handle.js';
export { json } from './operators/json.js';
export { mapValue } from './operators/map-value.js';
export { ordered } from './operators/ordered.js';
export type { OrderedOptions, OrderingKey } from './operators/ordered.js';
export { topicPublisher } from './operators/topic-publisher.js';
export type { TopicPublisherOptions } from './operators/topic-publisher.js';
export { publishTo } from './operators/publish-to.js';
export type { PublishToOptions } from './operators/publish-to.js';
export { retryToDlq } from './operators/retry-to-dlq.js';
export type { RetryToDlqOptions } from './operators/retry-to-dlq.js';
export type { DeadLetterFormat } from './operators/dead-letter.js';
export type { OnUndeliverable } from './operators/dead-letter-queue.js';
export { run } from './operators/run.js';
export type { Settled } from './operators/run.js';
export { settling } from './operators/settling.js';
export type { SettlingOptions } from './operators/settling.js';
export { split } from './operators/split.js';
export type { Parts, SplitOptions } from './operators/split.js';
export type { StandardIssue, StandardResult, StandardSchemaV1 } from './operators/standard-schema.js';
export { text } from './operators/text.js';
export type {
  OutboxContext,
  OutboxDelivery,
  OutboxHandler,
  OutboxSetUp,
  OutboxSetUpContext,
} from './operators/outbox-handler.js';
export type { OutboxPosition } from './operators/outbox-shape.js';
export type { FromOutboxOptions } from './operators/outbox-relay-options.js';
export { withOutbox } from './operators/with-outbox.js';
export type { WithOutboxOptions } from './operators/with-outbox.js';

// Failures, errors, backoff
export { constant, exponential } from './core/backoff.js';
export type { Backoff, ExponentialOptions } from './core/backoff.js';
export { isSluiceError, SluiceError } from './core/errors.js';
export type { SluiceErrorCode } from './core/errors.js';
export { classifyFailure, permanent, transient, unavailable } from './core/failures.js';
export type { FailureClass } from './core/failures.js';

// Ports
export type { Deferred } from './core/deferred.js';
export type { Claim, HeldClaim, IdempotencyStore } from './core/idempotency-store.js';
export type { LeaseGroup, LeaseStore, ShardLease } from './core/lease-store.js';
export type { OutboxMessage } from './core/outbox-message.js';
export type { OutboxLease, OutboxRow } from './core/outbox-row.js';
export type {
  OutboxBurial,
  OutboxClaim,
  OutboxFault,
  OutboxLag,
  OutboxReturn,
  OutboxStore,
} from './core/outbox-store.js';
export type { OutboxEnd, OutboxPart, OutboxTransaction } from './core/outbox-transaction.js';
export type { PartitionRef } from './core/partition.js';
export { publish } from './core/publish.js';
export type { Publisher, PublisherConnection, PublishOutcome } from './core/publisher.js';
export type { SourceOptions } from './core/source-options.js';
export type { MessageInfo, Telemetry, TelemetryEvent } from './core/telemetry.js';
