import Table from 'cli-table3';
import type { DemoResult } from './demo.js';
import { ALERT_MAGNITUDE, CONCURRENCY } from './pipeline.js';
import type { Quake } from './quake.js';
import { MAX_IN_FLIGHT, type StoredMessage } from './quake-broker.js';

const STRONGEST = 5;

/** A run at a glance. */
export function report(result: DemoResult): string {
  const { messages, counts, peakSinkCalls, elapsedMs, deadLetters, quakes, alerts } = result;
  const seconds = elapsedMs / 1_000;
  const summary = table(['', ''], ['left', 'right', 'left']);
  summary.push(
    ['Messages in', text(messages), 'the feed was read twice: each event comes twice'],
    ['  done', text(counts.done), 'stored once, in one transaction with their id and alert, then acked'],
    ['  repeats skipped', text(counts.skipped), 'known event ids, not stored again'],
    ['  dead-lettered', text(counts.deadLettered), 'published with their raw bytes and the reason:'],
    ...reasons(deadLetters).map(([reason, times]) => ['', '', `${String(times).padStart(3)} × ${reason}`]),
    [
      'Alerts',
      text(alerts.length),
      `magnitude ${ALERT_MAGNITUDE} and above, through the outbox to a topic of their own`,
    ],
    ['Retries', text(counts.retried), 'the sink failed and was called again'],
    ['Peak in flight', text(counts.peakInFlight), `of at most ${text(MAX_IN_FLIGHT)} (maxInFlight)`],
    ['Peak sink calls', text(peakSinkCalls), `of at most ${text(CONCURRENCY)} at once (concurrency)`],
    ['Rate', `${text(Math.round(messages / seconds))}/s`, `${text(messages)} messages in ${seconds.toFixed(1)} s`],
  );
  const strongest = table(['Network', 'Strongest', 'Where', 'Quakes'], ['left', 'right', 'left', 'right']);
  for (const { network, quake, quakes: times } of strongestByNetwork(quakes).slice(0, STRONGEST)) {
    strongest.push([network, `M ${quake.properties.mag.toFixed(1)}`, quake.properties.place, text(times)]);
  }
  return `${summary.toString()}\n\n${strongest.toString()}`;
}

/** What the dead letters themselves say, the most frequent first. */
export function reasons(deadLetters: readonly StoredMessage[]): [reason: string, times: number][] {
  const times = new Map<string, number>();
  for (const { headers } of deadLetters) {
    const reason = String(headers['dead-letter-error-message']);
    times.set(reason, (times.get(reason) ?? 0) + 1);
  }
  return [...times].sort(([, a], [, b]) => b - a);
}

interface NetworkRow {
  readonly network: string;
  readonly quake: Quake;
  readonly quakes: number;
}

function strongestByNetwork(quakes: readonly Quake[]): NetworkRow[] {
  const rows = new Map<string, NetworkRow>();
  for (const quake of quakes) {
    const network = quake.properties.net;
    const row = rows.get(network) ?? { network, quake, quakes: 0 };
    const stronger = quake.properties.mag > row.quake.properties.mag ? quake : row.quake;
    rows.set(network, { network, quake: stronger, quakes: row.quakes + 1 });
  }
  return [...rows.values()].sort((a, b) => b.quake.properties.mag - a.quake.properties.mag);
}

function table(head: string[], colAligns: ('left' | 'right')[]): Table.Table {
  const named = head.some((name) => name !== '');
  return new Table({ head: named ? head : [], colAligns, style: { head: [], border: [], compact: true } });
}

function text(count: number): string {
  return count.toLocaleString('en-US');
}
