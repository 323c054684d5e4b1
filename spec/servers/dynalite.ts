import { once } from 'node:events';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { DynamoDB, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb';

// It has no types, and is loaded when it is first started.
const require = createRequire(import.meta.url);
type Dynalite = (options: { readonly createTableMs: number }) => Server;

/** A DynamoDB in this process, in memory. It has no transactions, no time to live and no items in refusals. */
export interface DynaliteServer {
  readonly endpoint: string;
  /** A client, which `stop` ends. */
  newClient(config?: DynamoDBClientConfig): DynamoDB;
  stop(): Promise<void>;
}

/** Starts one on a free port of the loopback interface. */
export async function startDynalite(): Promise<DynaliteServer> {
  const server = (require('dynalite') as Dynalite)({ createTableMs: 5 });
  // Else it closes a connection that was idle for 5 s, also while a client sends.
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clients: DynamoDB[] = [];
  return {
    endpoint,
    newClient: (config = {}) => {
      const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
      const requestHandler = { requestTimeout: 5_000 };
      const client = new DynamoDB({ endpoint, region: 'us-east-1', credentials, requestHandler, ...config });
      clients.push(client);
      return client;
    },
    stop: async () => {
      for (const client of clients) client.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
