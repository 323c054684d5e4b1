// One worker of a consumer in a process of its own, to be killed and stopped: writes each start and each end to a file.
import { openSync, writeSync } from 'node:fs';
import { Kinesis } from '@aws-sdk/client-kinesis';
import { Pool } from 'pg';
import { ackEach, handle, ordered } from '../../lib/index.js';
import { fromKinesis } from '../../lib/kinesis.js';
import { postgresLeaseStore } from '../../lib/postgres.js';
import { httpHandler } from '../servers/kinesis/http-handler.js';

/** What a worker is told. */
export interface KinesisMemberSettings {
  readonly endpoint: string;
  readonly database: string;
  readonly schema: string;
  readonly stream: string;
  readonly leaseMs: number;
  readonly file: string;
}

const { endpoint, database, schema, stream, leaseMs, file } = JSON.parse(
  process.argv[2] as string,
) as KinesisMemberSettings;
const out = openSync(file, 'a');
const say = (what: string, shard = ''): void => void writeSync(out, `${what} ${process.pid} ${Date.now()} ${shard}\n`);
const kinesis = new Kinesis({
  endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'none', secretAccessKey: 'none' },
  maxAttempts: 1,
  requestHandler: httpHandler(),
});
const pool = new Pool({ connectionString: database, max: 2 });
pool.on('error', () => undefined);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

fromKinesis(kinesis, {
  stream,
  consumer: 'storm',
  leases: postgresLeaseStore(pool, { schema }),
  leaseMs,
  readIntervalMs: 20,
  pollMs: 50,
  checkpointIntervalMs: 200,
  drainTimeoutMs: 5_000,
  stop: stop.signal,
  telemetry: (event) => {
    // Its lease was lost, or its drain took too long.
    if (event.type === 'revoked' && !event.drained) say(`l ${event.partition.partition}`);
  },
})
  .pipe(
    ordered({ by: 'key' }),
    handle(
      async (value, { position }) => {
        const number = new TextDecoder().decode(value as Uint8Array);
        say(`s ${number}`, position.shard);
        await new Promise((resolve) => setTimeout(resolve, 2 + 20 * Math.random()));
        say(`d ${number}`);
      },
      { concurrency: 64 },
    ),
    ackEach(),
  )
  .subscribe({
    error: (error: unknown) => {
      say(`e ${JSON.stringify(String(error)).replaceAll(' ', '_')}`);
      process.exitCode = 1;
      void pool.end();
    },
    complete: () => void pool.end(),
  });
