import type { PubSubServerName } from './pubsub/command.js';
import type { PubSubServer } from './pubsub.js';
import { sharedServer } from './shared-server.js';

/** The test server of this name that all spec files of a Jest run share. */
export function sharedPubSub(
  name: Exclude<PubSubServerName, 'fake'>,
): Promise<Pick<PubSubServer, 'name' | 'endpoint' | 'control'>> {
  return sharedServer(`pubsub-${name}`);
}
