// The fake in a process of its own, for benchmarks and for specs that kill it.
import { startPubSubFake } from './pubsub-fake.js';

await startPubSubFake({ port: Number(process.argv[2]), countDeliveries: false });
