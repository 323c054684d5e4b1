import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel, type Admin } from 'kafkajs';

const POLL_MS = 50;

/**
 * Returns when the broker on this port leads its partitions and coordinates groups, so that the first consumer does not
 * wait for the making of the offsets topic; rejects when the signal comes first.
 */
export async function untilReady(port: number, signal: AbortSignal): Promise<void> {
  while (!(await accepts(port))) await sleep(POLL_MS, undefined, { signal });

  const admin = new Kafka({
    brokers: [`127.0.0.1:${port}`],
    logLevel: logLevel.NOTHING,
    requestTimeout: 5_000,
    retry: { retries: 0 },
  }).admin();
  try {
    while (!(await answers(admin))) await sleep(POLL_MS, undefined, { signal });
  } finally {
    await admin.disconnect();
  }
}

async function answers(admin: Admin): Promise<boolean> {
  try {
    await admin.connect();
    await admin.fetchOffsets({ groupId: 'ready' });
    return true;
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
