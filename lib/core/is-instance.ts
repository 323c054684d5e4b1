/**
 * `instanceof`, for classes of ours that stand among what anybody may have thrown: a Proxy may throw where it is asked for its
 * prototype. Of the platform's classes it would tell those of this realm alone: those have `isError`, `isBytes` and `isDate`.
 * @internal
 */
export function isInstance<T>(value: unknown, of: abstract new (...given: never[]) => T): value is T {
  try {
    return value instanceof of;
  } catch {
    return false;
  }
}
