import { expect, it } from '@jest/globals';
import { describeIf } from '../servers/describe-if.js';
import { whyNoKafka } from '../servers/why-no-kafka.js';
import { whyNoPostgres } from '../servers/why-no-postgres.js';
import { OWN_WARNINGS, runExample } from '../support/run-example.js';

const noPostgres = await whyNoPostgres();

describeIf('the example of Kafka, Postgres and its outbox', noPostgres ?? (await whyNoKafka()), () => {
  it('makes one invoice an order, and publishes each', async () => {
    expect(await runExample('02-kafka-postgres-outbox')).toEqual({
      code: 0,
      stdout: '2000 messages in, 1000 invoices, 1000 messages out, 0 left in the outbox\n',
      stderr: '',
    });
  });
});

describeIf('the example of dedupe', noPostgres, () => {
  it('charges each order once', async () => {
    expect(await runExample('03-dedupe')).toEqual({
      code: 0,
      stdout: '1500 messages in, 500 orders charged, 500 different ones\n',
      stderr: expect.stringMatching(OWN_WARNINGS),
    });
  });
});
