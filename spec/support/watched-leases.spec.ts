import { describe, expect, it } from '@jest/globals';
import { from } from 'rxjs';
import { memoryLeaseStore } from '../../lib/memory.js';
import type { ShardLease } from '../../lib/index.js';
import { watchedLeases } from './watched-leases.js';

const GROUP = { consumer: 'c', stream: 's' };
const ROW: ShardLease = {
  shard: '1',
  counter: 1,
  owner: null,
  wantedBy: null,
  checkpoint: '',
  acked: '',
  doneUntil: 0,
  parents: [],
};

describe('leases that are watched', () => {
  it('explain a repeat where another worker took the lease, and none where its owner gave it', () => {
    const leases = watchedLeases(memoryLeaseStore());
    let row = ROW;
    from(leases.of('a').add(GROUP, [row])).subscribe();
    const write = (worker: string, owner: string | null): void => {
      row = { ...row, owner, counter: row.counter + 1 };
      from(leases.of(worker).write(GROUP, [row])).subscribe();
    };
    const came = (worker: string) => ({ worker, shard: '1', text: 't' });
    write('a', 'a x');
    write('a', 'b y');
    write('b', 'b y');
    expect(leases.lost).toEqual(new Set());
    expect(leases.unexplained([came('a'), came('b')])).toEqual([came('b')]);
    write('a', 'a x');
    expect(leases.lost).toEqual(new Set(['b 1']));
    expect(leases.unexplained([came('b'), came('a')])).toEqual([]);
    expect(leases.explained([came('b'), came('a')])).toBe(1);
    // Without a loss of its own it is repeated by mistake, whoever had it before.
    expect(leases.unexplained([came('b'), came('a'), came('b')])).toEqual([came('b')]);
  });
});
