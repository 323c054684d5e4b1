import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

const POLL_MS = 20;

/** Returns when the server behind this address answers; rejects when the signal comes first. */
export async function untilReady(url: string, signal: AbortSignal): Promise<void> {
  while (!(await answers(url))) await sleep(POLL_MS, undefined, { signal });
}

async function answers(connectionString: string): Promise<boolean> {
  const client = new Client({ connectionString, connectionTimeoutMillis: 5_000 });
  // It says so a second time when the server goes away in the middle.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
