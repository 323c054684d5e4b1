import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

const PACKAGE = 'google-cloud-cli-pubsub-emulator';
const JAR = /^cloud-pubsub-emulator-.*-all\.jar$/;
const FOLDER = 'platform/pubsub-emulator/lib';

/** The jar of Google's emulator: of `PUBSUB_EMULATOR_JAR`, else of the Debian package, else below the root of a gcloud. */
export function emulatorJar(): string | undefined {
  const given = process.env['PUBSUB_EMULATOR_JAR'];
  if (given !== undefined && given !== '') return given;
  return jarOfPackage() ?? jarBelow(process.env['CLOUDSDK_ROOT_DIR']) ?? jarBelow(gcloudRoot());
}

function jarOfPackage(): string | undefined {
  const { stdout, status } = spawnSync('dpkg', ['-L', PACKAGE], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  return stdout.split('\n').find((path) => JAR.test(path.split('/').at(-1) ?? ''));
}

function jarBelow(root: string | undefined): string | undefined {
  const folder = join(root ?? '', FOLDER);
  if (root === undefined || !existsSync(folder)) return undefined;
  const name = readdirSync(folder).find((file) => JAR.test(file));
  return name === undefined ? undefined : join(folder, name);
}

/** Where the gcloud of the path is installed: it is a link to `bin/gcloud` there. */
function gcloudRoot(): string | undefined {
  const places = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'gcloud'));
  const found = places.find((place) => existsSync(place));
  return found === undefined ? undefined : dirname(dirname(realpathSync(found)));
}
