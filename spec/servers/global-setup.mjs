// Jest calls this in its own process, before all workers. It starts no Kafka: it listens, and the first spec that asks
// starts the one that all of them share. So `npm test -- spec/operators` runs without.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { tsImport } from 'tsx/esm/api';

export default async function listenForKafkaSpecs() {
  let kafka;
  const open = async () => (await tsImport('./open-kafka.ts', import.meta.url)).openKafka();

  const desk = createServer((_request, response) => {
    kafka ??= open();
    kafka.then(
      ({ brokers, sasl }) => response.end(JSON.stringify({ brokers, sasl })),
      (error) => response.writeHead(500).end(String(error)),
    );
  }).listen(0, '127.0.0.1');
  await once(desk, 'listening');
  desk.unref();

  process.env.RXSLUICE_SHARED_KAFKA = `http://127.0.0.1:${desk.address().port}`;
  globalThis[Symbol.for('rxsluice.stopSharedKafka')] = async () => {
    desk.close();
    const started = await kafka?.catch(() => undefined);
    await started?.stop();
  };
}
