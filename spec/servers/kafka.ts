import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { endCleanly } from './boot.js';
import { bootBroker, formatStorage } from './kafka/broker-process.js';
import { makeCertificate } from './kafka/certificate.js';
import { kafkaJars } from './kafka/jars.js';
import { serverProperties } from './kafka/server-properties.js';
import { onFreePorts } from './on-free-ports.js';
import { supervise, type SupervisedCommand } from './supervise.js';

/** How to start a Kafka. */
export interface StartKafkaOptions {
  /** Settings of `server.properties` to add or to replace, such as `'group.initial.rebalance.delay.ms': '3000'`. */
  readonly config?: Readonly<Record<string, string>>;
  /** The largest heap of its JVM, in MiB. Default 512. */
  readonly heapMiB?: number;
  /** How long one start of the process may take, in milliseconds, without the fetching of the jars. Default 60,000. */
  readonly startTimeoutMs?: number;
}

/** The listener that wants SASL/PLAIN over TLS. */
export interface SaslListener {
  readonly brokers: readonly string[];
  readonly username: string;
  readonly password: string;
  /** The server's self-signed certificate as PEM: the one to trust. */
  readonly ca: string;
}

/** A Kafka that this process started. It never outlives this process, however that ends. */
export interface KafkaServer {
  /** Addresses of the listener without TLS and authentication. */
  readonly brokers: readonly string[];
  readonly sasl: SaslListener;
  /** The broker's process; another one after each restart. */
  readonly pid: number;
  /** Where its data, its settings and its logs are; removed by `stop`. */
  readonly folder: string;
  /** Ends the broker cleanly, if it runs, and starts it again: same ports, same data. */
  restart(): Promise<void>;
  /** Ends the broker by SIGKILL and keeps its data for a `restart`. */
  kill(): Promise<void>;
  /** Ends the broker and removes all that it left. Repeats do nothing. */
  stop(): Promise<void>;
}

const PROPERTIES = 'server.properties';
const KEYSTORE = 'keystore.p12';

/** Starts an Apache Kafka of one node on free ports of 127.0.0.1, with its data in a new temporary folder. */
export async function startKafka(options: StartKafkaOptions = {}): Promise<KafkaServer> {
  const { config = {}, heapMiB = 512, startTimeoutMs = 300_000 } = options;
  const classpath = join(await kafkaJars(), '*');
  const secrets = { keystorePassword: secret(), username: 'sluice', password: secret() };
  const supervisor = await supervise('rxsluice-kafka-');

  const boot = (port: number): Promise<SupervisedCommand> => {
    const args = [`-Xmx${heapMiB}m`, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', classpath, 'kafka.Kafka'];
    return bootBroker(supervisor, [...args, PROPERTIES], port, startTimeoutMs);
  };
  const writeProperties = (plain: number, sasl: number, controller: number): Promise<void> =>
    writeFile(
      join(supervisor.folder, PROPERTIES),
      serverProperties({ ...secrets, ports: { plain, sasl, controller }, keystore: KEYSTORE, config }),
    );
  const prepare = async (): Promise<string> => {
    // To format the storage takes settings too, whatever the ports.
    await writeProperties(0, 0, 0);
    const [ca] = await Promise.all([
      makeCertificate(supervisor, KEYSTORE, secrets.keystorePassword),
      formatStorage(supervisor, classpath, PROPERTIES),
    ]);
    return ca;
  };

  try {
    const ca = await prepare();
    const first = await onFreePorts(3, async (plain = 0, sasl = 0, controller = 0) => {
      await writeProperties(plain, sasl, controller);
      return { plain, sasl, broker: await boot(plain) };
    });
    let { broker } = first;
    return {
      brokers: [`127.0.0.1:${first.plain}`],
      sasl: { brokers: [`127.0.0.1:${first.sasl}`], username: secrets.username, password: secrets.password, ca },
      folder: supervisor.folder,
      get pid() {
        return broker.pid;
      },
      restart: async () => {
        await endCleanly(broker);
        broker = await boot(first.plain);
      },
      kill: async () => void (await broker.end('SIGKILL')),
      stop: () => supervisor.close(),
    };
  } catch (error) {
    await supervisor.close();
    throw error;
  }
}

function secret(): string {
  return randomBytes(18).toString('hex');
}
