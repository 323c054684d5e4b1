const SMALLEST = 4;
// What holds nothing yet takes no memory: there is one in each of thousands of partitions. Never written to.
const NO_SLOTS: never[] = [];

/**
 * A first-in-first-out queue in a power-of-two ring: no `Array.shift`, which costs 285 µs each at 300,000 entries.
 * Its bound is its user's: what is queued is in credit.
 * @internal
 */
export class RingQueue<T> {
  private slots: (T | undefined)[] = NO_SLOTS;
  private mask = -1;
  private head = 0;
  private tail = 0;

  get length(): number {
    return this.tail - this.head;
  }

  push(item: T): void {
    if (this.tail - this.head > this.mask) this.resize(Math.max(SMALLEST, this.slots.length * 2));
    this.slots[this.tail++ & this.mask] = item;
  }

  peek(): T | undefined {
    return this.slots[this.head & this.mask];
  }

  shift(): T | undefined {
    if (this.head === this.tail) return undefined;
    const index = this.head++ & this.mask;
    const item = this.slots[index];
    this.slots[index] = undefined;
    return item;
  }

  /** Looks at all, in order; `look` must change nothing of the queue. */
  forEach(look: (item: T) => void): void {
    for (let at = this.head; at < this.tail; at++) look(this.slots[at & this.mask] as T);
  }

  /** Takes out what matches, in order; the rest keeps its order. */
  extract(matches: (item: T) => boolean): T[] {
    const taken: T[] = [];
    for (let left = this.length; left > 0; left--) {
      const item = this.shift() as T;
      if (matches(item)) taken.push(item);
      else this.push(item);
    }
    return taken;
  }

  /** Takes out everything, in order. */
  drain(): T[] {
    return this.extract(() => true);
  }

  private resize(size: number): void {
    const slots = new Array<T | undefined>(size);
    const { length } = this;
    for (let i = 0; i < length; i++) slots[i] = this.slots[(this.head + i) & this.mask];
    this.slots = slots;
    this.mask = size - 1;
    this.head = 0;
    this.tail = length;
  }
}
