import { afterAll, beforeAll } from '@jest/globals';
import { describeIf } from './describe-if.js';
import { OPTIONAL_PUBSUB, PUBSUB_LABELS } from './describe-pubsub.js';
import type { PubSubServerName } from './pubsub/command.js';
import { startPubSub, type PubSubServer, type StartPubSubOptions } from './pubsub.js';
import { whyNoPubSub } from './why-no-pubsub.js';

/** A `describe` with a test server of its own, in a process, for specs that restart or kill it. */
export function describeOwnPubSub(
  server: PubSubServerName,
  name: string,
  specs: (server: () => PubSubServer) => void,
  options?: StartPubSubOptions,
): void {
  const optional = OPTIONAL_PUBSUB.includes(server);
  describeIf(
    `${name}, on ${PUBSUB_LABELS[server]}`,
    whyNoPubSub(server),
    () => {
      let own: PubSubServer;
      beforeAll(async () => {
        own = await startPubSub(server, options);
      });
      afterAll(() => own?.stop());
      specs(() => own);
    },
    { optional },
  );
}
