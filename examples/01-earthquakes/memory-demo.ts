import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import type { DemoBroker } from './demo-broker.js';

/** A broker in this process. */
export function memoryDemo(): DemoBroker {
  const broker = memoryBroker({ topics: { quakes: { partitions: 4 }, 'quakes-dlq': { partitions: 4 } } });
  return {
    name: 'a broker in this process',
    quakes: memoryPublisher(broker, { topic: 'quakes' }),
    deadLetters: memoryPublisher(broker, { topic: 'quakes-dlq' }),
    source: (options) => fromMemory(broker, { groupId: 'quake-watch', topics: ['quakes'], ...options }),
    readDeadLetters: () => Promise.resolve(broker.messages('quakes-dlq')),
    close: () => Promise.resolve(),
  };
}
