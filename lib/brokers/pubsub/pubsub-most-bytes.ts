/**
 * What one publish request may carry, and so a message: 10 MB of ten powers, and of the encoded request, as Google's Go client
 * has them.
 * @internal
 */
export const MOST_REQUEST_BYTES = 10_000_000;
