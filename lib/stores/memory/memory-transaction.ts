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
export interface MemoryChanges extends MemoryTransaction {
  /** Undoes what was written since `mark` was this long. */
  undo(mark: number): void;
  readonly length: number;
  apply(): void;
  /** Writing from now on would be lost: it throws. */
  end(): void;
}

interface Change {
  readonly name: string;
  readonly value: unknown;
  readonly removed: boolean;
}

/** What a transaction has written, in its order. @internal */
export function memoryChanges(table: Map<string, unknown>): MemoryChanges {
  const changes: Change[] = [];
  let ended = false;
  const write = (name: string, value: unknown, removed: boolean): void => {
    if (ended) throw new Error('memoryOutboxStore: the transaction has ended.');
    changes.push({ name, value, removed });
  };
  return {
    get: (name) => {
      const last = changes.filter((each) => each.name === name).pop();
      return last === undefined ? table.get(name) : last.value;
    },
    set: (name, value) => write(name, value, false),
    delete: (name) => write(name, undefined, true),
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
    end: () => {
      ended = true;
    },
  };
}
