import { describe, it, jest } from '@jest/globals';

// A server shares the machine with all other specs; the default of 5 s would measure the load.
const TEST_TIMEOUT_MS = 60_000;

/**
 * A `describe` of specs that need a server. Where there is a reason why it cannot be had, they are skipped by name, and
 * the reason is printed; under `CI=true` that is a failure, unless the server is optional. The tests of the file have a
 * minute each.
 */
export function describeIf(
  name: string,
  reason: string | undefined,
  specs: () => void,
  { optional = false }: { readonly optional?: boolean } = {},
): void {
  if (reason === undefined) {
    jest.setTimeout(TEST_TIMEOUT_MS);
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
