import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { javaTool } from '../kafka/java.js';
import { repositoryFile } from '../repository.js';
import { emulatorJar } from './emulator-jar.js';

/** Google's emulator, our own gRPC fake, and the Go library's server. */
export type PubSubServerName = 'emulator' | 'fake' | 'pstest';

/** How a server is started. */
export interface PubSubCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** What starts a server on a port of 127.0.0.1; `spare` is a second one, for that which takes two. */
export function pubsubCommand(
  name: PubSubServerName,
  { port, spare }: { readonly port: number; readonly spare: number },
): PubSubCommand {
  switch (name) {
    case 'emulator':
      return {
        command: javaTool('java'),
        args: ['-Xmx512m', '-jar', emulatorJar() ?? '', '--host=127.0.0.1', `--port=${port}`],
      };
    case 'fake': {
      // The loader by its path: the server runs in a folder of its own.
      const loader = createRequire(repositoryFile('package.json')).resolve('tsx');
      const main = repositoryFile('spec/servers/pubsub-fake/main.ts');
      return { command: process.execPath, args: ['--import', pathToFileURL(loader).href, main, String(port)] };
    }
    case 'pstest':
      return {
        command: pstestProgram() ?? '',
        args: ['-addr', `127.0.0.1:${port}`, '-ctl', `127.0.0.1:${spare}`],
      };
  }
}

/** The program that `PSTEST_CTL_BIN` names, if it is set. */
export function pstestProgram(): string | undefined {
  const program = process.env['PSTEST_CTL_BIN'];
  return program === '' ? undefined : program;
}
