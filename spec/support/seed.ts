/** The seed of a random spec, for its title: another one each run, or `RXSLUICE_SEED` to replay one. */
export function randomSeed(): number {
  return Number(process.env['RXSLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
}
