import { randomBytes } from 'node:crypto';

// As long as the service's, so that the size of requests is true.
const LENGTH = 176;
const DIGITS = 10;
const EPOCH = randomBytes(LENGTH)
  .toString('base64url')
  .slice(0, LENGTH - DIGITS);
let count = 0;

/** An ack id that was not there before. */
export function newAckId(): string {
  return EPOCH + String(++count).padStart(DIGITS, '0');
}

/** Whether it may be an ack id: ours, or one of before a restart. */
export function isAckId(text: string): boolean {
  return text.length === LENGTH;
}
