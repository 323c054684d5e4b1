import { describe, expect, it } from '@jest/globals';
import { NEVER, Subject } from 'rxjs';
import { ackEach, handle } from 'rxsluice';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { addParts, hold } from '../../lib/core/units.js';
import { gather, type GatherProbe } from '../model/gather.js';
import { collect, testLog, virtually } from './harness.js';

const LAST_RESORT_MS = 1_000_000;
const offsets = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('quiet', () => {
  it('lets 100 be gathered under 64 credits', () =>
    virtually(({ advance }) => {
      const log = testLog({ maxInFlight: 64 });
      let done = 0;
      log.deliveries.pipe(gather(100, LAST_RESORT_MS), ackEach()).subscribe(() => done++);
      log.push(log.partition(0), ...offsets(640));
      advance(1);
      expect(done).toBe(640);
    }));

  it("lets until: 'end' complete over 250 messages gathered by 100", () =>
    virtually(({ advance }) => {
      const log = testLog();
      const seen: string[] = [];
      log.deliveries.pipe(gather(100, LAST_RESORT_MS), ackEach()).subscribe({
        next: () => seen.push('done'),
        complete: () => seen.push('complete'),
      });
      log.push(log.partition(0), ...offsets(250));
      log.engine.end();
      advance(1);
      expect([seen.length, seen.at(-1), log.commits.at(-1)]).toEqual([251, 'complete', '0:249']);
    }));

  it('is not told while the source only waits for the broker', () =>
    virtually(({ advance }) => {
      const log = testLog({ maxInFlight: 64 });
      const probe: GatherProbe = { gathered: 0 };
      log.deliveries.pipe(gather(100, LAST_RESORT_MS, probe), ackEach()).subscribe();
      log.push(log.partition(0), ...offsets(10));
      advance(1_000);
      expect(probe.gathered).toBe(10);
    }));

  it('is not told while a handler still runs, and is as soon as it is done', () =>
    virtually(() => {
      const log = testLog({ maxInFlight: 4 });
      const probe: GatherProbe = { gathered: 0 };
      const slow = new Subject<string>();
      let done = 0;
      log.deliveries
        .pipe(
          handle((_, { id }) => (id === 't/0/3' ? slow : id), { concurrency: 4 }),
          gather(100, LAST_RESORT_MS, probe),
          ackEach(),
        )
        .subscribe(() => done++);
      log.push(log.partition(0), ...offsets(5));
      expect([probe.gathered, done]).toEqual([3, 0]);
      slow.complete();
      expect(done).toBe(4);
    }));

  it('counts the parts that an operator made of a delivery: all of them must be held', () =>
    virtually(({ advance }) => {
      const log = testLog({ maxInFlight: 2 });
      const { all } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1, 2);
      const { epoch } = all[0] as unknown as DeliveryNode;
      const quiets = (): number => log.events.filter(({ type }) => type === 'quiet').length;
      addParts(epoch, 3);
      hold(epoch, 2);
      hold(epoch, 2);
      expect(quiets()).toBe(0);
      hold(epoch, 1);
      expect(quiets()).toBe(1);
      log.engine.lose(epoch);
      advance(1);
      expect(epoch.session).toMatchObject({ parts: 0, held: 0, inFlight: 0 });
    }));

  it('leaves no timer behind where an operator asks for the pump in the close', () =>
    virtually(({ advance, timers }) => {
      const log = testLog({ maxInFlight: 1 });
      const later = new Subject<void>();
      const running = log.deliveries
        .pipe(
          handle(() => later, { concurrency: 1 }),
          ackEach(),
        )
        .subscribe();
      log.push(log.partition(0), 0, 1);
      later.complete();
      log.engine.end();
      advance(5);
      expect([log.closes, timers()]).toEqual([1, 0]);
      running.unsubscribe();
    }));

  it('of a stalled pipeline holds memory at the bound: nothing more is emitted', () =>
    virtually(({ advance }) => {
      const log = testLog({ maxInFlight: 8 });
      let started = 0;
      log.deliveries
        .pipe(
          handle(() => (started++, NEVER), { concurrency: 3 }),
          ackEach(),
        )
        .subscribe();
      log.push(log.partition(0), ...offsets(100));
      advance(10_000);
      expect([started, log.events.filter(({ type }) => type === 'received').length]).toEqual([3, 8]);
    }));
});
