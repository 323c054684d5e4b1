import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';

const POLL_MS = 50;

/** Returns when the broker on this port counts itself as part of the cluster; rejects when the signal comes first. */
export async function untilReady(port: number, signal: AbortSignal): Promise<void> {
  while (!(await accepts(port))) await sleep(POLL_MS, undefined, { signal });

  const client = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING, retry: { retries: 0 } });
  const admin = client.admin();
  try {
    // It listens a moment before the controller lets it lead partitions.
    while (!(await answers(admin))) await sleep(POLL_MS, undefined, { signal });
  } finally {
    await admin.disconnect();
  }
}

async function answers(admin: ReturnType<Kafka['admin']>): Promise<boolean> {
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    return brokers.length > 0;
  } catch {
    return false;
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
