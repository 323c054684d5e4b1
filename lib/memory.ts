export { memoryBroker } from './brokers/memory/memory-client.js';
export type { MemoryBroker } from './brokers/memory/memory-client.js';
export type { MemoryRecord } from './brokers/memory/memory-log.js';
export type {
  MemoryBrokerOptions,
  MemoryPublisherOptions,
  MemorySourceOptions,
  MemoryTopicOptions,
} from './brokers/memory/memory-options.js';
export { memoryPublisher } from './brokers/memory/memory-publisher.js';
export { fromMemory } from './brokers/memory/memory-source.js';
export type { MemoryPosition } from './brokers/memory/memory-source.js';
export { memoryIdempotencyStore } from './stores/memory/memory-idempotency-store.js';
export type { MemoryIdempotencyStoreOptions } from './stores/memory/memory-idempotency-store.js';
export { memoryLeaseStore } from './stores/memory/memory-lease-store.js';
export type { MemoryOutboxMessage } from './stores/memory/memory-outbox-rows.js';
export { memoryOutboxStore } from './stores/memory/memory-outbox-store.js';
export type { MemoryOutboxStore, MemoryOutboxStoreOptions } from './stores/memory/memory-outbox-store.js';
export type { MemoryTransaction } from './stores/memory/memory-transaction.js';
