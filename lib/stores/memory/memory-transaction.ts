import { SluiceError } from '../../core/errors.js';

/** What handlers of `withOutbox` write by on a memory outbox: a small table of named values. @public */
export interface MemoryTransaction {
  /** The value, what this transaction has written included. */
  get(name: string): unknown;
  /** Writes it, for all to see once the transaction is committed. */
  set(name: string, value: unknown): void;
  /** Removes it. */
  delete(name: string): void;
}

/** @internal */
export interface MemoryChanges {
  /** For one handler, until the next one gets it or all has ended: what is done by it then would be another's, or lost. It throws. */
  lend(): MemoryTransaction;
  takeBack(): void;
  /** Undoes what was written since `mark` was this long. */
  undo(mark: number): void;
  readonly length: number;
  apply(): void;
}

interface Change {
  readonly name: string;
  readonly value: unknown;
  readonly removed: boolean;
}

/** What a transaction has written, in its order. @internal */
export function memoryChanges(table: Map<string, unknown>): MemoryChanges {
  const changes: Change[] = [];
  let lent: object | null = null;
  const lend = (): MemoryTransaction => {
    const loan = {};
    lent = loan;
    const checked = <A extends unknown[], R>(does: (...given: A) => R) => {
      return (...given: A): R => {
        if (lent !== loan) throw usedTooLate();
        return does(...given);
      };
    };
    return {
      get: checked((name: string): unknown => {
        const last = changes.filter((each) => each.name === name).pop();
        return last === undefined ? table.get(name) : last.value;
      }),
      set: checked((name: string, value: unknown) => void changes.push({ name, value, removed: false })),
      delete: checked((name: string) => void changes.push({ name, value: undefined, removed: true })),
    };
  };
  return {
    lend,
    takeBack: () => {
      lent = null;
    },
    undo: (mark) => void changes.splice(mark),
    get length() {
      return changes.length;
    },
    apply: () => {
      for (const { name, value, removed } of changes) {
        if (removed) table.delete(name);
        else table.set(name, value);
      }
    },
  };
}

function usedTooLate(): SluiceError {
  return new SluiceError(
    'transaction-ended',
    'memoryOutboxStore: tx is used after its handler has ended. Await all that a handler begins.',
  );
}
