/** Private barrel for the API report: one namespace a subpath. Not in the exports map. */
export * from './index.js';
export * as broker from './broker.js';
export * as memory from './memory.js';
export * as kafka from './kafka.js';
export * as kinesis from './kinesis.js';
export * as pubsub from './pubsub.js';
export * as postgres from './postgres.js';
export * as testing from './testing.js';
