import { describe, it } from '@jest/globals';

/**
 * A `describe` of specs that need a server. Where there is a reason why it cannot be had, they are skipped by name, and
 * the reason is printed; under `CI=true` that is a failure, unless the server is optional.
 */
export function describeIf(
  name: string,
  reason: string | undefined,
  specs: () => void,
  { optional = false }: { readonly optional?: boolean } = {},
): void {
  if (reason === undefined) {
    describe(name, specs);
  } else if (process.env['CI'] === 'true' && !optional) {
    describe(name, () => {
      it('has the server that it needs', () => {
        throw new Error(reason);
      });
    });
  } else {
    process.stderr.write(`Skipped: ${name}. ${reason}.\n`);
    describe.skip(`${name} (${reason})`, specs);
  }
}
