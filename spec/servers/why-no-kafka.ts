import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { kafkaJars } from './kafka/jars.js';
import { javaTool } from './kafka/java.js';

const run = promisify(execFile);
const JAVA_NEEDED = 17;

/** Why no Kafka can be started on this machine, in words; undefined where it can. Fetches the jars if need be. */
export async function whyNoKafka(): Promise<string | undefined> {
  const java = await javaVersion();
  if (java === undefined) return `No Kafka: Java ${JAVA_NEEDED} or later is missing`;
  if (java < JAVA_NEEDED) return `No Kafka: Java ${JAVA_NEEDED} or later is needed, this is ${java}`;
  try {
    await kafkaJars();
    return undefined;
  } catch (error) {
    return `No Kafka: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function javaVersion(): Promise<number | undefined> {
  try {
    const { stderr } = await run(javaTool('java'), ['-version']);
    return Number(/version "(\d+)/.exec(stderr)?.[1]);
  } catch {
    return undefined;
  }
}
