import { describe, expect, it } from '@jest/globals';
import { map, Subject } from 'rxjs';
import { permanent } from '../../lib/core/failures.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { mapValue } from '../../lib/operators/map-value.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';
import { fakePublisher } from '../support/publishers.js';

keepsTheContract('mapValue', { make: () => mapValue((value) => value), nackGoesUp: true });

describe('mapValue', () => {
  it('maps the value and keeps the delivery', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a-b-|');
      const expected = '         -A-B-|';
      const done = '             -a-b--';
      expectObservable(
        source.texts.pipe(
          mapValue((value) => value.toUpperCase()),
          ackEach(),
        ),
      ).toBe(expected);
      expectObservable(source.done).toBe(done);
    }));

  it('keeps identity, key, headers, position and attempt', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { messages: { a: { key: 'k', headers: { h: 'v' } } } });
      const out = drive(source.texts.pipe(mapValue(() => 1)));
      advanceTo(1);
      expect(
        out.values.map(({ value, id, key, headers, position, attempt }) => ({
          value,
          id,
          key,
          headers,
          position,
          attempt,
        })),
      ).toEqual([
        {
          value: 1,
          id: 'orders/0/0',
          key: 'k',
          headers: { h: 'v' },
          position: { broker: 'scripted', offset: 0 },
          attempt: 1,
        },
      ]);
      out.values[0]?.ack();
    }));

  it('takes an Observable for a plain value: it is pure', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const value = new Subject<number>();
      const out = drive(
        source.texts.pipe(
          mapValue(() => value),
          ackEach(),
        ),
      );
      advanceTo(1);
      expect(out.values).toEqual([value]);
    }));

  it('nacks with the error where the function throws, and goes on', () =>
    marbles(({ log, expectObservable, flush }) => {
      const source = log('       -a-b-c-----|');
      const expected = '         -A---C-----|';
      const failure = permanent(new Error('no'));
      const deadLetters = fakePublisher();
      const upper = (value: string): string => {
        if (value === 'b') throw failure;
        return value.toUpperCase();
      };
      expectObservable(source.texts.pipe(retryToDlq({ deadLetters }), mapValue(upper), ackEach())).toBe(expected);
      expectObservable(source.deadLettered).toBe('---b');
      flush();
      expect(deadLetters.published).toHaveLength(1);
      expect(source.eventsOf('dead-lettered').map(({ event }) => event.reason)).toEqual([failure]);
    }));

  it('runs the function once for each attempt, not once for each settlement', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      let runs = 0;
      drive(
        source.texts.pipe(
          mapValue(() => ++runs),
          map((d) => d),
        ),
        (delivery) => {
          if (delivery.attempt === 1) delivery.nack();
          else delivery.ack();
        },
      );
      advanceTo(20);
      expect(runs).toBe(2);
      expect(source.settled('done')).toEqual(['a']);
    }));

  it('refuses what is no function', () => {
    expect(refusal(() => mapValue(untyped(null)))).toBe('mapValue: fn must be a function, not null.');
    expect(refusal(() => mapValue(untyped(undefined)))).toBe('mapValue: fn must be a function, not undefined.');
  });
});
