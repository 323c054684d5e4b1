import type { KinesisServerName } from './kinesis/command.js';
import type { PubSubServerName } from './pubsub/command.js';

/** A server that all spec files of a Jest run share; the first that asks for it waits until it has started. */
export async function sharedServer<S extends object>(
  name: 'kafka' | 'postgres' | KinesisServerName | `pubsub-${PubSubServerName}`,
): Promise<S> {
  const desk = process.env['RXSLUICE_SHARED_SERVERS'];
  if (desk === undefined) throw new Error('Only specs share a server: Jest’s global setup listens for them.');
  const answer = await fetch(`${desk}/${name}`);
  const body = await answer.text();
  if (!answer.ok) throw new Error(body);
  return JSON.parse(body) as S;
}
