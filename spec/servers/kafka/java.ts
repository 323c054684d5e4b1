import { join } from 'node:path';

/** A command of the Java that is meant: that of `JAVA_HOME`, else that of the path. */
export function javaTool(name: 'java' | 'keytool'): string {
  const home = process.env['JAVA_HOME'];
  return home ? join(home, 'bin', name) : name;
}

/** Options for a JVM that lives for a second: what makes a long-lived one fast would cost it half of that. */
export const BRIEF_JVM = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
