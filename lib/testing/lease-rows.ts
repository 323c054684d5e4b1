import type { ShardLease } from '../core/lease-store.js';
import { check, list } from './check.js';

const FIELDS = ['counter', 'owner', 'wantedBy', 'checkpoint', 'acked', 'doneUntil', 'parents'] as const;

/** A row that nobody has written yet. @internal */
export function newLease(shard: string, rest: Partial<ShardLease> = {}): ShardLease {
  const fresh = { counter: 1, owner: null, wantedBy: null, checkpoint: '', acked: '', doneUntil: 0, parents: [] };
  return { shard, ...fresh, ...rest };
}

/** The row to write next. @internal */
export function nextOf(lease: ShardLease, rest: Partial<ShardLease> = {}): ShardLease {
  return { ...lease, ...rest, counter: lease.counter + 1 };
}

/** `shard-000`, `shard-001`, …: of so many new rows, in the order of their names. @internal */
export function newLeases(count: number, rest: Partial<ShardLease> = {}): ShardLease[] {
  return Array.from({ length: count }, (_, index) => newLease(`shard-${String(index).padStart(3, '0')}`, rest));
}

/** @internal */
export function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((left, right) => left.place - right.place)
    .map(({ item }) => item);
}

/** Fails where these are not the rows, field by field. @internal */
export function sameRows(when: string, listed: readonly ShardLease[], wanted: readonly ShardLease[]): void {
  const rows = new Map(listed.map((row) => [row.shard, row]));
  check(rows.size === listed.length, () => `${when}, ${listed.length - rows.size} shards are listed more than once.`);
  const missing = wanted.filter(({ shard }) => !rows.has(shard));
  check(missing.length === 0, () => `${when}, these are not listed: ${list(missing.map(nameOf))}.`);
  for (const row of wanted) {
    const came = rows.get(row.shard) as ShardLease;
    rows.delete(row.shard);
    for (const field of FIELDS) {
      check(
        isSame(row[field], came[field]),
        () => `${when}, ${field} of ${nameOf(row)} is to be ${show(row[field])}, and is ${show(came[field])}.`,
      );
    }
  }
  check(rows.size === 0, () => `${when}, these are listed too: ${list([...rows.values()].map(nameOf))}.`);
}

/** Fails where a shard was given to more than one. @internal */
export function givenOnce(taken: readonly ShardLease[]): void {
  const given = new Set<string>();
  const again = taken.filter(({ shard }) => given.size === given.add(shard).size);
  check(again.length === 0, () => `These were given to several: ${list(again.map(nameOf))}.`);
}

/** @internal */
export function nameOf({ shard }: Pick<ShardLease, 'shard'>): string {
  return show(shard);
}

function isSame(wanted: unknown, came: unknown): boolean {
  if (!Array.isArray(wanted)) return wanted === came;
  return Array.isArray(came) && wanted.length === came.length && wanted.every((item, index) => item === came[index]);
}

function show(value: unknown): string {
  const text = typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? 'undefined');
  return text.length <= 80 ? text : `${text.slice(0, 80)}… (${text.length} characters)`;
}
