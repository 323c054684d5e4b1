export type { EngineLag, EngineReports } from './core/engine-reports.js';
export { logSource } from './core/log-engine.js';
export type {
  AssignedPartition,
  LogAdapter,
  LogCommit,
  LogEngine,
  LogProgress,
  LogSourceDefinition,
} from './core/log-engine.js';
export { queueSource } from './core/queue-engine.js';
export type { QueueAdapter, QueueEngine, QueueSourceDefinition } from './core/queue-engine.js';
export type { RecordShape } from './core/record-shape.js';
export type { PartitionRef } from './core/partition.js';
export type { SourceOptions } from './core/source-options.js';
