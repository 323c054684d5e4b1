import { describe, expect, it } from '@jest/globals';
import { NEVER, of } from 'rxjs';
import { createIdCalls } from '../../../lib/brokers/pubsub/pubsub-id-calls.js';
import { virtually } from '../../core/harness.js';

describe('createIdCalls', () => {
  it('gathers for as long as it is told, and keeps no timer of what is over', () =>
    virtually(({ advance, timers }) => {
      const calls: (readonly string[])[] = [];
      const acks = createIdCalls({
        call: (ids) => (calls.push(ids), of(null)),
        isMendable: () => false,
        mostCalls: 4,
        lingerMs: 10,
      });
      const answers: unknown[] = [];
      for (let round = 0; round < 50; round++) {
        acks.send([`a${round}`], (error) => answers.push(error));
        advance(5);
        acks.send([`b${round}`], (error) => answers.push(error));
        advance(4);
        expect(calls).toHaveLength(round);
        advance(1);
        expect(calls[round]).toEqual([`a${round}`, `b${round}`]);
      }
      expect([answers.length, answers.every((error) => error === null), timers()]).toEqual([100, true, 0]);
    }));

  it('begins nothing once it was ended', () =>
    virtually(({ advance, timers }) => {
      const calls: (readonly string[])[] = [];
      const acks = createIdCalls({
        call: (ids) => (calls.push(ids), NEVER),
        isMendable: () => false,
        mostCalls: 1,
        lingerMs: 10,
      });
      acks.send(['a'], () => undefined);
      acks.end();
      advance(1_000);
      expect([calls, timers()]).toEqual([[], 0]);
    }));

  it('answers what is under way and what waits when it is ended, each once', () =>
    virtually(({ advance, timers }) => {
      const acks = createIdCalls({ call: () => NEVER, isMendable: () => false, mostCalls: 1 });
      const answers: [string, unknown][] = [];
      acks.send(['a', 'b'], (error) => answers.push(['under way', error]));
      advance(1);
      acks.send(['c'], (error) => answers.push(['waits', error]));
      advance(1);
      acks.end();
      acks.end();
      advance(100_000);
      const error = expect.objectContaining({ code: 'connection-failed' });
      expect(answers).toEqual([
        ['under way', error],
        ['waits', error],
      ]);
      expect(timers()).toBe(0);
    }));
});
