import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { MAX_IN_FLIGHT, PARTITIONS, type QuakeBroker } from './quake-broker.js';

/** A broker in this process. */
export function memoryQuakes(): QuakeBroker {
  const topics = { quakes: { partitions: PARTITIONS }, 'quakes-dlq': { partitions: PARTITIONS }, alerts: {} };
  const broker = memoryBroker({ topics });
  const options = { groupId: 'quake-watch', topics: ['quakes'], maxInFlight: MAX_IN_FLIGHT, until: 'end' } as const;
  return {
    name: 'a broker in this process',
    feed: memoryPublisher(broker, { topic: 'quakes' }),
    source: ({ telemetry, stop }) => fromMemory(broker, { ...options, telemetry, stop }),
    deadLetters: memoryPublisher(broker, { topic: 'quakes-dlq' }),
    alerts: memoryPublisher(broker, { topic: 'alerts' }),
    storedDeadLetters: () => Promise.resolve(broker.messages('quakes-dlq')),
    storedAlerts: () => Promise.resolve(broker.messages('alerts')),
  };
}
