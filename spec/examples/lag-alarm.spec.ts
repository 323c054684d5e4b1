import { describe, expect, it } from '@jest/globals';
import type { TelemetryEvent } from 'rxsluice';
import { lagAlarm, type LagAlarmOptions } from '../../examples/07-lag-alarm/lag-alarm.js';
import { runExample } from '../support/run-example.js';

type Lag = Extract<TelemetryEvent, { type: 'lag' }>;

describe('lagAlarm, the example', () => {
  /** An alarm at once, and what it said. */
  const alarm = (options: Partial<LagAlarmOptions>) => {
    const said: string[] = [];
    const telemetry = lagAlarm({
      forMs: 0,
      raise: (partition, why) => void said.push(`${partition}: ${why}`),
      clear: (partition) => void said.push(`${partition} is over`),
      ...options,
    });
    const tell = (lag: Partial<Lag>): void =>
      telemetry({
        type: 'lag',
        partition: { topic: 't', partition: 0 },
        ageMs: 0,
        bufferedMessages: 2,
        bufferedBytes: 9,
        inFlight: 1,
        ...lag,
      });
    return { said, tell, telemetry };
  };

  it('is raised once for each partition, and is over once that has caught up or is another’s', () => {
    const { said, tell, telemetry } = alarm({ mostMessages: 10 });
    tell({ lagMessages: 10 });
    tell({ lagMessages: 11 });
    tell({ lagMessages: 12 });
    tell({ lagMessages: 0, partition: { topic: 't', partition: 1 } });
    tell({ lagMessages: 10 });
    tell({ lagMessages: 11 });
    telemetry({ type: 'revoked', partition: { topic: 't', partition: 0 }, drained: true });
    const raised = 't/0: 11 messages behind, 2 buffered, 1 in flight';
    expect(said).toEqual([raised, 't/0 is over', raised, 't/0 is over']);
  });

  it('is raised for messages that are too old, and where nothing is known', () => {
    const { said, tell } = alarm({ mostMs: 5_000, mostAgeMs: 1_000 });
    tell({ lagMs: 5_000 });
    tell({ lagMs: 6_000 });
    tell({ lagMs: 0 });
    tell({ lagMs: 0, ageMs: 1_001 });
    expect(said).toEqual([
      't/0: the oldest message is 6 s old, 2 buffered, 1 in flight',
      't/0 is over',
      't/0: the broker does not tell how far it is behind',
    ]);
  });

  it('waits whether it lasts', () => {
    const { said, tell } = alarm({ mostMessages: 10, forMs: 60_000 });
    tell({ lagMessages: 11 });
    tell({ lagMessages: 11 });
    tell({ lagMessages: 0 });
    expect(said).toEqual([]);
  });

  it('runs as a command', async () => {
    const { code, stdout } = await runExample('07-lag-alarm');
    const raised = 'alarm for orders/0: 5000 messages behind, 4936 buffered, 64 in flight';
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${raised}\norders/0 has caught up\n` });
  });
});
