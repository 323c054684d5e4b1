/** What of the settings differs from start to start. */
export interface ServerSettings {
  readonly ports: { readonly plain: number; readonly sasl: number; readonly controller: number };
  readonly keystore: string;
  readonly keystorePassword: string;
  readonly username: string;
  readonly password: string;
  /** Added last: wins over all others. */
  readonly config: Readonly<Record<string, string>>;
}

/** The `server.properties` of one node that is broker and controller; what is not here has Kafka's default. */
export function serverProperties({ ports, config, ...secrets }: ServerSettings): string {
  const login = `org.apache.kafka.common.security.plain.PlainLoginModule required`;
  const settings: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    'log.dirs': 'data',

    listeners: [
      `PLAINTEXT://127.0.0.1:${ports.plain}`,
      `SASL_SSL://127.0.0.1:${ports.sasl}`,
      `CONTROLLER://127.0.0.1:${ports.controller}`,
    ].join(','),
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'sasl.enabled.mechanisms': 'PLAIN',
    'listener.name.sasl_ssl.plain.sasl.jaas.config': `${login} user_${secrets.username}="${secrets.password}";`,
    'ssl.keystore.type': 'PKCS12',
    'ssl.keystore.location': secrets.keystore,
    'ssl.keystore.password': secrets.keystorePassword,

    // A topic that a spec forgot to create is a mistake, and it must be able to see that of a missing one.
    'auto.create.topics.enable': 'false',
    // One node, and one partition of each internal topic: the first group and the first transaction wait for them.
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    // Groups form at once, and members that are killed may be missed soon.
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    // A broker that was killed may register again only when its session has run out; 9 s by default.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    // The default takes 128 MB of the heap before the first record.
    'log.cleaner.dedupe.buffer.size': '16777216',
    ...config,
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}
