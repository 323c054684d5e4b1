import { execFile } from 'node:child_process';
import { expect, it } from '@jest/globals';
import { describeIf } from '../servers/describe-if.js';
import { whyNoKafka } from '../servers/why-no-kafka.js';
import { whyNoPostgres } from '../servers/why-no-postgres.js';

/** Runs an example as a command. */
function example(
  folder: string,
): Promise<{ readonly code: unknown; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve) =>
    execFile(
      process.execPath,
      ['--import', 'tsx', `examples/${folder}/main.ts`],
      { timeout: 110_000 },
      (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }),
    ),
  );
}

const noPostgres = await whyNoPostgres();

describeIf('the example of Kafka, Postgres and its outbox', noPostgres ?? (await whyNoKafka()), () => {
  it('makes one invoice an order, and publishes each', async () => {
    expect(await example('02-kafka-postgres-outbox')).toEqual({
      code: 0,
      stdout: '2000 messages in, 1000 invoices, 1000 messages out, 0 left in the outbox\n',
      stderr: '',
    });
  }, 120_000);
});

describeIf('the example of dedupe', noPostgres, () => {
  it('charges each order once', async () => {
    expect(await example('03-dedupe')).toEqual({
      code: 0,
      stdout: '1500 messages in, 500 orders charged, 500 different ones\n',
      stderr: '',
    });
  }, 120_000);
});
