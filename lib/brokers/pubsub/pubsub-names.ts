/** The last part of `projects/p/subscriptions/s`. @internal */
export function shortName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}
