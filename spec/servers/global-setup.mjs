// Jest calls this in its own process, before all workers. It starts no server: it listens, and the first spec that asks
// for one starts the one that all of them share. So `npm test -- spec/operators` runs without.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { tsImport } from 'tsx/esm/api';

const startKinesis = async (name) => (await tsImport('./kinesis.ts', import.meta.url)).startKinesis(name);
const startPubSub = async (name) => (await tsImport('./pubsub.ts', import.meta.url)).startPubSub(name);

/** What can be shared, by the path that asks for it. */
const openers = {
  // Nobody kills it, so it need not be missed soon: a broker that the machine held up for three seconds is fenced, and refuses all.
  '/kafka': async () =>
    (await tsImport('./open-kafka.ts', import.meta.url)).openKafka({
      config: { 'broker.session.timeout.ms': '120000' },
    }),
  // What specs write need not survive the machine.
  '/postgres': async () =>
    (await tsImport('./open-postgres.ts', import.meta.url)).openPostgres({ config: { fsync: 'off' } }),
  '/kinesalite': () => startKinesis('kinesalite'),
  '/kinesis-local': () => startKinesis('kinesis-local'),
  '/ferrokinesis': () => startKinesis('ferrokinesis'),
  '/ministack': () => startKinesis('ministack'),
  '/pubsub-emulator': () => startPubSub('emulator'),
  '/pubsub-pstest': () => startPubSub('pstest'),
};

export default async function listenForSpecs() {
  const opened = new Map();
  const open = (path) => {
    if (!opened.has(path)) opened.set(path, openers[path]());
    return opened.get(path);
  };

  const desk = createServer(({ url }, response) => {
    open(url).then(
      (server) => response.end(JSON.stringify(server)),
      (error) => response.writeHead(500).end(String(error)),
    );
  }).listen(0, '127.0.0.1');
  await once(desk, 'listening');
  desk.unref();

  // The AWS SDK warns of the end of Node 20, once a process; the specs run on what the package supports.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  // Google's client asks a cloud for credentials otherwise, with an emulator too; the test clients refuse to work then.
  process.env.METADATA_SERVER_DETECTION = 'none';
  process.env.RXSLUICE_SHARED_SERVERS = `http://127.0.0.1:${desk.address().port}`;
  globalThis[Symbol.for('rxsluice.stopSharedServers')] = async () => {
    desk.close();
    const started = await Promise.allSettled(opened.values());
    await Promise.all(started.map(({ value }) => value?.stop()));
  };
}
