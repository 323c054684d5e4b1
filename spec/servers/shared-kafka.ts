import type { OpenKafka } from './open-kafka.js';
import { sharedServer } from './shared-server.js';

/** The Kafka that all spec files of a Jest run share. */
export function sharedKafka(): Promise<Omit<OpenKafka, 'stop'>> {
  return sharedServer('kafka');
}
