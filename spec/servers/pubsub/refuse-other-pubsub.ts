/**
 * Throws where a client of this endpoint could reach anything but a test server of this machine: the endpoint must be on
 * 127.0.0.1, and `METADATA_SERVER_DETECTION=none` must keep the client from asking a cloud for credentials.
 */
export function refuseOtherPubSub(endpoint: string): void {
  if (!/^127\.0\.0\.1:\d+$/.test(endpoint)) {
    throw new Error(`Test clients of Pub/Sub work on 127.0.0.1 alone, not on ${endpoint}.`);
  }
  if (process.env['METADATA_SERVER_DETECTION'] !== 'none') {
    throw new Error('Test clients of Pub/Sub want METADATA_SERVER_DETECTION=none in the environment.');
  }
}
