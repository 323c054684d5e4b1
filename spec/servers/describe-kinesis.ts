import { afterAll, beforeAll } from '@jest/globals';
import { describeIf } from './describe-if.js';
import type { KinesisServerName } from './kinesis/command.js';
import { kinesisTestClient, type KinesisTestClient } from './kinesis-test-client.js';
import { sharedKinesis } from './shared-kinesis.js';
import { whyNoKinesis } from './why-no-kinesis.js';

/** What a machine need not have: their specs are skipped by name without them, under `CI=true` too. */
export const OPTIONAL_KINESIS: readonly KinesisServerName[] = ['ferrokinesis', 'ministack'];

/**
 * A `describe` on the test server of this name that all spec files of a run share; the first of them starts it.
 * `kinesis()` is for the tests and hooks inside; the streams made through it are deleted afterwards.
 */
export function describeKinesis(
  server: KinesisServerName,
  name: string,
  specs: (kinesis: () => KinesisTestClient) => void,
): void {
  const optional = OPTIONAL_KINESIS.includes(server);
  describeIf(
    `${name}, on ${server}`,
    whyNoKinesis(server),
    () => {
      let client: KinesisTestClient;
      beforeAll(async () => {
        client = kinesisTestClient(await sharedKinesis(server));
      });
      afterAll(() => client?.close());
      specs(() => client);
    },
    { optional },
  );
}
