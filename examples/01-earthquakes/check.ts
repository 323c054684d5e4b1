import type { DemoResult } from './demo.js';

// Of magnitude 4.5 and above.
const ALERTS = 85;

/** What must come out of the feed, whatever fails on the way; an empty list means that it did. */
export function mismatches({ messages, counts, quakes, deadLetters, stored, alerts }: DemoResult): string[] {
  const sums: readonly (readonly [name: string, actual: number, expected: number])[] = [
    ['messages in', messages, 3_414],
    ['received', counts.received, 3_414],
    ['done', counts.done, 1_635],
    ['repeats skipped', counts.skipped, 1_635],
    ['dead-lettered', counts.deadLettered, 144],
    ['different quakes stored', new Set(quakes.map(({ id }) => id)).size, 1_635],
    ['rows in the database', stored, 1_635],
    ['messages in the dead-letter topic', deadLetters.length, 144],
    ['different alerts published', new Set(alerts.map(({ headers }) => String(headers['message-id']))).size, ALERTS],
  ];
  return sums
    .filter(([, actual, expected]) => actual !== expected)
    .map(([name, actual, expected]) => `${name}: ${actual} instead of ${expected}`);
}
