/**
 * Where a message stands in its broker. Each broker has its own type, told apart by `broker`
 * (`MemoryPosition`, …), so that an adapter's native words (offset, sequence number) keep their meaning.
 * @public
 */
export interface Position {
  /** Which broker's position this is: the discriminant. */
  readonly broker: string;
}
