import type { KinesisServerName } from './kinesis/command.js';
import type { KinesisServer } from './kinesis.js';
import { sharedServer } from './shared-server.js';

/** The test server of this name that all spec files of a Jest run share. */
export function sharedKinesis(name: KinesisServerName): Promise<Pick<KinesisServer, 'name' | 'endpoint'>> {
  return sharedServer(name);
}
