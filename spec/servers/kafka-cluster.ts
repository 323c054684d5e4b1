import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from './free-ports.js';
import { bootBroker, formatStorage, newClusterId } from './kafka/broker-process.js';
import { kafkaJars } from './kafka/jars.js';
import { serverProperties } from './kafka/server-properties.js';
import { supervise, type SupervisedCommand, type Supervisor } from './supervise.js';

/** An Apache Kafka of three nodes, each of them broker and controller, that keep three copies of everything. */
export interface KafkaCluster {
  readonly brokers: readonly string[];
  /** Ends a broker by SIGKILL, by its id: 1, 2 or 3. */
  kill(nodeId: number): Promise<void>;
  /** Ends all and removes all that they left. Repeats do nothing. */
  stop(): Promise<void>;
}

interface Node {
  readonly supervisor: Supervisor;
  readonly plain: number;
  broker: SupervisedCommand | null;
}

const IDS = [1, 2, 3];
const PROPERTIES = 'server.properties';
const START_TIMEOUT_MS = 300_000;
const COPIES = {
  'default.replication.factor': '3',
  'min.insync.replicas': '2',
  'offsets.topic.replication.factor': '3',
  'share.coordinator.state.topic.replication.factor': '3',
  'transaction.state.log.replication.factor': '3',
};

/** Starts three brokers on free ports of 127.0.0.1, with their data in new temporary folders. */
export async function startKafkaCluster(): Promise<KafkaCluster> {
  const classpath = join(await kafkaJars(), '*');
  const clusterId = newClusterId();
  const ports = await freePorts(2 * IDS.length);
  const of = (id: number) => ({ plain: ports[id - 1] as number, controller: ports[IDS.length + id - 1] as number });
  const voters = IDS.map((id) => `${id}@127.0.0.1:${of(id).controller}`).join(',');
  const nodes = new Map<number, Node>();
  const stop = async (): Promise<void> => {
    await Promise.all([...nodes.values()].map(({ supervisor }) => supervisor.close()));
  };

  const prepare = async (id: number): Promise<void> => {
    const supervisor = await supervise('rxsluice-kafka-');
    const { plain, controller } = of(id);
    nodes.set(id, { supervisor, plain, broker: null });
    const config = {
      ...COPIES,
      'node.id': String(id),
      'controller.quorum.voters': voters,
      listeners: `PLAINTEXT://127.0.0.1:${plain},CONTROLLER://127.0.0.1:${controller}`,
    };
    const noSecrets = { keystore: 'none', keystorePassword: 'none', username: 'none', password: 'none' };
    const properties = serverProperties({ ...noSecrets, ports: { plain, sasl: 0, controller }, config });
    await writeFile(join(supervisor.folder, PROPERTIES), properties);
    await formatStorage(supervisor, classpath, PROPERTIES, clusterId);
  };

  const boot = async (node: Node): Promise<void> => {
    const jvm = ['-Xmx256m', '-XX:+UseSerialGC', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
    const args = [...jvm, '-cp', classpath, 'kafka.Kafka', PROPERTIES];
    node.broker = await bootBroker(node.supervisor, args, node.plain, START_TIMEOUT_MS);
  };

  try {
    await Promise.all(IDS.map(prepare));
    // Together: one alone has no quorum.
    await Promise.all([...nodes.values()].map(boot));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    brokers: [...nodes.values()].map(({ plain }) => `127.0.0.1:${plain}`),
    kill: async (nodeId) => void (await nodes.get(nodeId)?.broker?.end('SIGKILL')),
    stop,
  };
}
