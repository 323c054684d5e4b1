/** What happened to each message, and when: what a failed chaos run is traced from. */
export interface Ledger {
  started(id: string, member: string, at: number): void;
  done(id: string, member: string, at: number): void;
  /** Handler starts after the first, message by message. */
  readonly repeated: readonly string[];
  readonly doneCount: number;
  isDone(id: string): boolean;
  /** All that is known of one message. */
  story(id: string): string;
}

/** Keeps the books of a run. */
export function createLedger(): Ledger {
  const starts = new Map<string, number>();
  const finished = new Set<string>();
  const events: { id: string; text: string }[] = [];
  const repeated: string[] = [];
  return {
    started: (id, member, at) => {
      const count = (starts.get(id) ?? 0) + 1;
      starts.set(id, count);
      if (count > 1) repeated.push(id);
      events.push({ id, text: `${Math.round(at)} ${member} starts` });
    },
    done: (id, member, at) => {
      finished.add(id);
      events.push({ id, text: `${Math.round(at)} ${member} ends` });
    },
    repeated,
    get doneCount() {
      return finished.size;
    },
    isDone: (id) => finished.has(id),
    story: (id) =>
      `${id}: ${events
        .filter((event) => event.id === id)
        .map(({ text }) => text)
        .join(', ')}`,
  };
}
