import type { OpenKafka } from './open-kafka.js';

/** The Kafka that all spec files of a Jest run share; the first that asks waits until it has started. */
export async function sharedKafka(): Promise<Omit<OpenKafka, 'stop'>> {
  const address = process.env['RXSLUICE_SHARED_KAFKA'];
  if (address === undefined) throw new Error('Only specs share a Kafka: Jest’s global setup listens for them.');
  const answer = await fetch(address);
  const body = await answer.text();
  if (!answer.ok) throw new Error(body);
  return JSON.parse(body) as Omit<OpenKafka, 'stop'>;
}
