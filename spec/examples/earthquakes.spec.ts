import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { mismatches } from '../../examples/01-earthquakes/check.js';
import { runDemo } from '../../examples/01-earthquakes/demo.js';
import { feedMessages } from '../../examples/01-earthquakes/feed.js';
import { memoryDatabase } from '../../examples/01-earthquakes/memory-database.js';
import { memoryQuakes } from '../../examples/01-earthquakes/memory.js';
import { ALERT_MAGNITUDE, CONCURRENCY } from '../../examples/01-earthquakes/pipeline.js';
import { MAX_IN_FLIGHT } from '../../examples/01-earthquakes/quake-broker.js';
import { quakeSchema, type Quake } from '../../examples/01-earthquakes/quake.js';
import { reasons, report } from '../../examples/01-earthquakes/report.js';

const feed = await feedMessages();
const RETRIES = 115;

const progress: number[] = [];
const result = await runDemo(memoryQuakes(), memoryDatabase(), (settled) => progress.push(settled));

const isQuake = (value: unknown): boolean => quakeSchema.safeParse(JSON.parse(String(value))).success;

describe('the earthquakes example', () => {
  it('ends with sums that add up, though its sink fails', () => {
    expect(mismatches(result)).toEqual([]);
    expect(result.counts).toMatchObject({ received: 3_414, done: 1_635, skipped: 1_635, deadLettered: 144 });
    expect(result.counts.retried).toBeGreaterThan(50);
    expect(progress).toEqual(Array.from({ length: 3_414 }, (_, index) => index + 1));
  });

  it('fails the same way each time: the faults are seeded', () => expect(result.counts.retried).toBe(RETRIES));

  it('stays within its bounds', () => {
    expect(result.counts.peakInFlight).toBeGreaterThan(CONCURRENCY);
    expect(result.counts.peakInFlight).toBeLessThanOrEqual(MAX_IN_FLIGHT);
    expect(result.peakSinkCalls).toBeLessThanOrEqual(CONCURRENCY);
  });

  it('keeps the order of each network through the retries', () => {
    const firstRead = feed.slice(0, feed.length / 2).filter(({ value }) => isQuake(value));
    for (const network of new Set(firstRead.map(({ key }) => String(key)))) {
      const sent = firstRead.filter(({ key }) => key === network).map(({ value }) => idOf(value));
      const stored = result.quakes.filter(({ properties }) => properties.net === network).map(({ id }) => id);
      expect(stored).toEqual(sent);
    }
  });

  it('publishes what it cannot decode as raw bytes, untried, with the reason', () => {
    const undecodable = feed.map(({ value }) => String(value)).filter((value) => !isQuake(value));
    const texts = result.deadLetters.map(({ value }) => new TextDecoder().decode(value ?? undefined));
    expect(result.deadLetters.every(({ value }) => value instanceof Uint8Array)).toBe(true);
    expect(texts.sort()).toEqual(undecodable.sort());
    expect(new Set(result.deadLetters.map(({ headers }) => headers['dead-letter-attempts']))).toEqual(new Set(['1']));
    expect(result.deadLetters.every(({ headers }) => headers['dead-letter-source-topic'] === 'quakes')).toBe(true);
    expect(reasons(result.deadLetters)).toEqual([
      ['The value does not match its schema at properties.mag.', 88],
      ['The value does not match its schema at properties.type.', 56],
    ]);
  });

  it('publishes an alert for each strong quake, in the order of its network', () => {
    const strong = feed
      .slice(0, feed.length / 2)
      .filter(({ value }) => isQuake(value))
      .map(({ value }) => quakeSchema.parse(JSON.parse(String(value))))
      .filter(({ properties }) => properties.mag >= ALERT_MAGNITUDE);
    const alerts = result.alerts.map(({ value }) =>
      quakeSchema.parse(JSON.parse(new TextDecoder().decode(value ?? undefined))),
    );
    expect(alerts).toHaveLength(strong.length);
    for (const network of new Set(strong.map(({ properties }) => properties.net))) {
      const of = (quakes: readonly Quake[]) =>
        quakes.filter(({ properties }) => properties.net === network).map(({ id }) => id);
      expect(of(alerts)).toEqual(of(strong));
    }
  });

  it('reports what happened', () => {
    const text = report(result);
    for (const figure of ['3,414', '1,635', '144', 'Taiwan']) expect(text).toContain(figure);
  });

  it('runs as a command, with plain lines where there is no terminal, and ends by itself', async () => {
    const args = ['--import', 'tsx', 'examples/01-earthquakes/main.ts', '--memory'];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 });
    expect(stdout).toContain('  3414/3414 messages settled\n');
    expect(stdout).toContain('The sums add up');
  });

  it('says which sum does not add up', () => {
    const lost = { ...result, counts: { ...result.counts, done: 1_634 } };
    expect(mismatches(lost)).toEqual(['done: 1634 instead of 1635']);
  });
});

function idOf(value: unknown): string {
  return quakeSchema.parse(JSON.parse(String(value))).id;
}
