export type {
  PostgresClientLike,
  PostgresExecutorLike,
  PostgresIsolation,
  PostgresKyselyLike,
  PostgresKyselyOf,
  PostgresLike,
  PostgresPoolClientLike,
  PostgresPoolLike,
  PostgresPoolOf,
  PostgresRawQuery,
  PostgresTransactionBuilderLike,
} from './stores/postgres/postgres-client.js';
export { postgresDoctor } from './stores/postgres/postgres-doctor.js';
export type { PostgresReport } from './stores/postgres/postgres-doctor.js';
export { postgresIdempotencyStore } from './stores/postgres/postgres-idempotency-store.js';
export type { PostgresIdempotencyStoreOptions } from './stores/postgres/postgres-idempotency-store.js';
export { postgresLeaseStore } from './stores/postgres/postgres-lease-store.js';
export type { PostgresLeaseStoreOptions } from './stores/postgres/postgres-lease-store.js';
export { postgresMigrations, postgresSchema } from './stores/postgres/postgres-migrations.js';
export type { PostgresMigration, PostgresSchemaOptions } from './stores/postgres/postgres-migrations.js';
export type { PostgresNames, PostgresTable } from './stores/postgres/postgres-names.js';
export { postgresOutboxStore } from './stores/postgres/postgres-outbox-store.js';
export type { PostgresOutboxStore, PostgresOutboxStoreOptions } from './stores/postgres/postgres-outbox-store.js';
export type { PostgresProblem } from './stores/postgres/postgres-problems.js';
export type { PostgresNotice } from './stores/postgres/postgres-snapshots.js';
export { postgresPurge } from './stores/postgres/postgres-purge.js';
export type { PostgresPurged, PostgresPurgeOptions } from './stores/postgres/postgres-purge.js';
export type { PostgresListenerLike, PostgresListenLike } from './stores/postgres/postgres-wake-ups.js';
