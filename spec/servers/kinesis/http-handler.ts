import { NodeHttpHandler } from '@smithy/node-http-handler';

/**
 * The SDK's handler of HTTP/1.1. In Jest the errors of Node's own modules are of another realm: the SDK would take them
 * for something else than errors, and their codes would be lost.
 */
export function httpHandler(): NodeHttpHandler {
  const handler = new NodeHttpHandler();
  const handle = handler.handle.bind(handler);
  handler.handle = (...call) =>
    handle(...call).catch((error: unknown) => {
      throw error instanceof Error ? error : ofThisRealm(error as Error);
    });
  return handler;
}

function ofThisRealm(error: Error): Error {
  return Object.assign(new Error(error.message, { cause: error }), error);
}
