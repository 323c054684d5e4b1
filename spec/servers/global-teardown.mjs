/** Ends the Kafka that the specs of this run shared, if one of them asked for it. */
export default async function stopSharedKafka() {
  await globalThis[Symbol.for('rxsluice.stopSharedKafka')]();
}
