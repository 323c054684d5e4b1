import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { javaTool } from './kafka/java.js';
import { pstestProgram, type PubSubServerName } from './pubsub/command.js';
import { emulatorJar } from './pubsub/emulator-jar.js';

/** Why a test server of Pub/Sub cannot be started on this machine, in words; undefined where it can. */
export function whyNoPubSub(server: PubSubServerName): string | undefined {
  const reason = REASONS[server]();
  return reason === undefined ? undefined : `No ${server}: ${reason}`;
}

const REASONS: Readonly<Record<PubSubServerName, () => string | undefined>> = {
  emulator: () => {
    const jar = emulatorJar();
    if (jar === undefined) {
      return 'neither PUBSUB_EMULATOR_JAR nor the package google-cloud-cli-pubsub-emulator nor a gcloud has its jar';
    }
    if (!existsSync(jar)) return `PUBSUB_EMULATOR_JAR names ${jar}, which is not there`;
    return spawnSync(javaTool('java'), ['-version']).status === 0 ? undefined : 'Java is missing';
  },
  fake: () => undefined,
  pstest: () => {
    const program = pstestProgram();
    if (program === undefined) return 'PSTEST_CTL_BIN does not name its program';
    return existsSync(program) ? undefined : `PSTEST_CTL_BIN names ${program}, which is not there`;
  },
};
