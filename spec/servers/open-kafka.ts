import { startKafka, type SaslListener, type StartKafkaOptions } from './kafka.js';

/** A Kafka to work with, ours or the user's. */
export interface OpenKafka {
  readonly brokers: readonly string[];
  /** Absent on the user's broker. */
  readonly sasl?: SaslListener;
  /** Ends what was started for this; the user's broker is left alone. */
  stop(): Promise<void>;
}

/** The user's broker, `KAFKA_BROKERS` (addresses with commas between), else one that is started here. */
export async function openKafka(options?: StartKafkaOptions): Promise<OpenKafka> {
  const brokers = givenBrokers();
  return brokers.length > 0 ? { brokers, stop: () => Promise.resolve() } : startKafka(options);
}

/** What `KAFKA_BROKERS` names; nothing where it is not set. */
export function givenBrokers(): string[] {
  const addresses = (process.env['KAFKA_BROKERS'] ?? '').split(',').map((address) => address.trim());
  return addresses.filter((address) => address !== '');
}
