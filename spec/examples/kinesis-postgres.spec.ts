import { expect, it } from '@jest/globals';
import { describeIf } from '../servers/describe-if.js';
import { whyNoKinesis } from '../servers/why-no-kinesis.js';
import { whyNoPostgres } from '../servers/why-no-postgres.js';
import { runExample } from '../support/run-example.js';

describeIf('the example of Kinesis and Postgres', (await whyNoPostgres()) ?? whyNoKinesis('kinesalite'), () => {
  it('counts each view once, by two workers and through a split', async () => {
    expect(await runExample('05-kinesis-postgres')).toEqual({
      code: 0,
      stdout: '2000 messages in, 1000 views of 20 pages counted\n',
      stderr: '',
    });
  });
});
