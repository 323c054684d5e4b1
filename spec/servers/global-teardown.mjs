/** Ends the servers that the specs of this run shared, if one of them asked for it. */
export default async function stopSharedServers() {
  await globalThis[Symbol.for('rxsluice.stopSharedServers')]();
}
