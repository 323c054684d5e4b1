import { afterAll, beforeAll } from '@jest/globals';
import { describeIf } from './describe-if.js';
import { OPTIONAL_KINESIS } from './describe-kinesis.js';
import type { KinesisServerName } from './kinesis/command.js';
import { startKinesis, type KinesisServer, type StartKinesisOptions } from './kinesis.js';
import { whyNoKinesis } from './why-no-kinesis.js';

/** A `describe` with a test server of its own, for specs that restart or kill it, or that need other settings. */
export function describeOwnKinesis(
  server: KinesisServerName,
  name: string,
  specs: (server: () => KinesisServer) => void,
  options?: StartKinesisOptions,
): void {
  const optional = OPTIONAL_KINESIS.includes(server);
  describeIf(
    `${name}, on ${server}`,
    whyNoKinesis(server),
    () => {
      let own: KinesisServer;
      beforeAll(async () => {
        own = await startKinesis(server, options);
      });
      afterAll(() => own?.stop());
      specs(() => own);
    },
    { optional },
  );
}
