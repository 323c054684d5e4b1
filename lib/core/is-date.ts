/** Whether it is a `Date`, of any realm; it may be an invalid one. @internal */
export function isDate(value: unknown): value is Date {
  try {
    // It throws for all that is no Date, also for what says that it is one.
    Date.prototype.getTime.call(value as Date);
    return true;
  } catch {
    return false;
  }
}
