import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Does the work once and answers how long it took, in nanoseconds an item. */
export type Contender = () => Promise<number>;

/**
 * A process of its own for one contender: in a shared one each side runs with what the compiler has learnt from the other,
 * which no application sees.
 */
export interface ContenderProcess {
  run(): Promise<number>;
  end(): Promise<void>;
}

/** Starts this bundle again, as contender number `index`. */
export function startContender(index: number): ContenderProcess {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [`--contender=${index}`]);
  const ended = once(child, 'exit');
  return {
    run: async () => {
      const answered = once(child, 'message');
      child.send('run');
      const [took] = (await Promise.race([answered, ended.then(() => ['its process ended'])])) as unknown[];
      if (typeof took !== 'number') throw new Error(`Contender ${index}: ${String(took)}.`);
      return took;
    },
    end: async () => {
      child.disconnect();
      await ended;
    },
  };
}

/** The number of the contender that this process is, or `null` where it is the one that compares. */
export function contenderIndex(): number | null {
  const argument = process.argv.find((each) => each.startsWith('--contender='));
  return argument === undefined ? null : Number(argument.slice('--contender='.length));
}

/** Runs whenever it is asked to, until the other side lets go. */
export function serve(contender: Contender): void {
  process.on('message', () => {
    void contender().then(
      (took) => process.send?.(took),
      (error: unknown) => process.send?.(String(error)),
    );
  });
  process.on('disconnect', () => process.exit());
}
