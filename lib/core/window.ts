// 0 is a slot that is open or not taken: what passes below the watermark is set back to it.
const OPEN = 0;
const SETTLED = 1;
const RELEASED = 2;
const SMALLEST = 8;

/**
 * The in-flight window of one partition: a ring of slots in order of arrival, whose head, the watermark, advances over
 * settled slots. Positions are never computed, only remembered, so gaps are normal (I1). It grows by doubling, up to
 * the power of two that holds `maxSpan`.
 * @internal
 */
export class Window {
  /** The lowest slot that is not settled: all below it is. */
  head = 0;
  /** The slot that the next record will take. */
  tail = 0;
  /** The record just below the watermark, or `null` while nothing has been settled from the start on. */
  last: unknown = null;
  /** Made with the first that is settled out of order. */
  private states: Uint8Array | null = null;
  private records: unknown[] = new Array<unknown>(SMALLEST).fill(null);
  private mask = SMALLEST - 1;

  /** Watermark to head of the log, in records: what `maxSpan` bounds (I9). */
  get span(): number {
    return this.tail - this.head;
  }

  /** Takes the next slot for a record. */
  open(record: unknown): number {
    if (this.tail - this.head > this.mask) this.grow();
    const slot = this.tail++;
    this.records[slot & this.mask] = record;
    return slot;
  }

  /** Settles a slot for good; true where the watermark moved. */
  settle(slot: number): boolean {
    const { mask, states, records, tail } = this;
    if (slot !== this.head) {
      this.mark(slot, SETTLED);
      return false;
    }
    let head = slot + 1;
    let index = slot & mask;
    while (states !== null && head < tail && states[head & mask] === SETTLED) {
      records[index] = null;
      index = head++ & mask;
      states[index] = OPEN;
    }
    this.last = records[index];
    records[index] = null;
    this.head = head;
    return true;
  }

  /** Lets go of a slot that will not be settled here: the watermark never passes it. */
  release(slot: number): void {
    this.mark(slot, RELEASED);
  }

  /** The records that are settled although an older one is not, oldest first. */
  settledAbove(): unknown[] {
    const above: unknown[] = [];
    const { states } = this;
    if (states === null) return above;
    for (let slot = this.head + 1; slot < this.tail; slot++) {
      if (states[slot & this.mask] === SETTLED) above.push(this.records[slot & this.mask]);
    }
    return above;
  }

  /** The record of the oldest unsettled slot. */
  get oldest(): unknown {
    return this.span === 0 ? null : this.records[this.head & this.mask];
  }

  private mark(slot: number, state: number): void {
    const states = (this.states ??= new Uint8Array(this.records.length));
    states[slot & this.mask] = state;
  }

  private grow(): void {
    const { states: before } = this;
    const size = this.records.length * 2;
    const states = before === null ? null : new Uint8Array(size);
    const records = new Array<unknown>(size).fill(null);
    for (let slot = this.head; slot < this.tail; slot++) {
      if (states !== null) states[slot & (size - 1)] = before?.[slot & this.mask] as number;
      records[slot & (size - 1)] = this.records[slot & this.mask];
    }
    this.states = states;
    this.records = records;
    this.mask = size - 1;
  }
}
