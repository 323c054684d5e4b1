import { join } from 'node:path';

/** A command of the Java that is meant: that of `JAVA_HOME`, else that of the path. */
export function javaTool(name: 'java' | 'keytool'): string {
  const home = process.env['JAVA_HOME'];
  return home ? join(home, 'bin', name) : name;
}
