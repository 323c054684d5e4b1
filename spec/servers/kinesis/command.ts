import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { repositoryFile } from '../repository.js';

/** The test servers of Kinesis, by the names that their makers gave them. */
export type KinesisServerName = 'kinesalite' | 'kinesis-local' | 'ferrokinesis' | 'ministack';

/** How a server is started. */
export interface KinesisCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

type Config = Readonly<Record<string, string>>;

/** What starts a server on a port of 127.0.0.1; `spare` is a second port, for one that takes two. */
export function kinesisCommand(
  name: KinesisServerName,
  { port, spare }: { readonly port: number; readonly spare: number },
  config: Config,
): KinesisCommand {
  return COMMANDS[name](String(port), String(spare), config);
}

const COMMANDS: Readonly<Record<KinesisServerName, (port: string, spare: string, config: Config) => KinesisCommand>> = {
  kinesalite: (port, _, config) => {
    const defaults = { createStreamMs: '5', deleteStreamMs: '5', updateStreamMs: '5', shardLimit: '1000' };
    return onLoopback(packageFile('kinesalite', 'cli.js'), flags({ ...defaults, ...config, port }), {});
  },
  'kinesis-local': (port, spare, config) => {
    const changes = ['CREATE_STREAM', 'DELETE_STREAM', 'SPLIT_SHARD', 'MERGE_SHARDS', 'UPDATE_SHARD_COUNT'];
    const durations = [...changes, 'REGISTER_STREAM_CONSUMER'].map((change) => [`${change}_DURATION`, '50ms']);
    const env = {
      ...(Object.fromEntries(durations) as Record<string, string>),
      SHARD_LIMIT: '1000',
      LOG_LEVEL: 'ERROR',
      ...config,
      KINESIS_MOCK_CERT_PATH: packageFile('kinesis-local', 'server.json'),
      KINESIS_MOCK_PLAIN_PORT: port,
      KINESIS_MOCK_TLS_PORT: spare,
    };
    return onLoopback(packageFile('kinesis-local', 'main.js'), [], env);
  },
  // It has no setting for the address, and listens on all of them.
  ferrokinesis: (port, _, config) => {
    const durations = { 'create-stream-ms': '5', 'delete-stream-ms': '5', 'update-stream-ms': '5' };
    // Beyond its own 7 MB it cuts the connection, and the client's socket throws where nobody listens.
    const limits = { 'shard-limit': '1000', 'enforce-limits': 'true', 'max-request-body-mb': '64' };
    const args = flags({ ...durations, ...limits, 'log-level': 'error', ...config, port });
    return { command: ferrokinesisProgram() ?? '', args, env: {} };
  },
  ministack: (port, _, config) => {
    const settings = Object.entries(config).map(([name, value]) => `kinesis.${name} = ${value}`);
    const script = [
      'import ministack.services.kinesis as kinesis',
      ...settings,
      'from ministack.app import main',
      'main()',
    ];
    // It writes the id of its process to the temporary folder, and leaves it there when it is killed.
    const env = { GATEWAY_PORT: port, BIND_HOST: '127.0.0.1', LOG_LEVEL: 'ERROR', TMPDIR: '.' };
    return { command: PYTHON, args: ['-c', script.join('\n')], env };
  },
};

/** What runs ministack. */
export const PYTHON = 'python3';

/** The program that `FERROKINESIS_BIN` names, if it is set. */
export function ferrokinesisProgram(): string | undefined {
  const program = process.env['FERROKINESIS_BIN'];
  return program === '' ? undefined : program;
}

/** A file of an npm package of this repository; throws where the package is not installed. */
export function packageFile(name: string, file: string): string {
  return join(dirname(createRequire(repositoryFile('package.json')).resolve(`${name}/package.json`)), file);
}

function onLoopback(program: string, args: readonly string[], env: Config): KinesisCommand {
  const loopback = repositoryFile('spec/servers/kinesis/loopback.mjs');
  return {
    command: process.execPath,
    args: ['--import', loopback, program, ...args],
    env: { NODE_OPTIONS: '', ...env },
  };
}

function flags(settings: Config): string[] {
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}
