import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Supervisor } from '../supervise.js';
import { BRIEF_JVM, javaTool } from './java.js';

/** Makes a self-signed certificate for 127.0.0.1 and localhost in the supervisor's folder, and returns it as PEM. */
export async function makeCertificate(supervisor: Supervisor, keystore: string, password: string): Promise<string> {
  const keytool = javaTool('keytool');
  const jvm = BRIEF_JVM.map((option) => `-J${option}`);
  const store = ['-alias', 'kafka', '-keystore', keystore, '-storetype', 'PKCS12', '-storepass', password];
  const subject = ['-dname', 'CN=localhost', '-ext', 'SAN=ip:127.0.0.1,dns:localhost', '-validity', '2'];
  const key = ['-keyalg', 'EC', '-groupname', 'secp256r1'];
  await supervisor.run(keytool, ['-genkeypair', ...jvm, ...store, ...key, ...subject], 'keytool.log');
  await supervisor.run(keytool, ['-exportcert', ...jvm, '-rfc', '-file', 'ca.pem', ...store], 'keytool.log');
  return readFile(join(supervisor.folder, 'ca.pem'), 'utf8');
}
