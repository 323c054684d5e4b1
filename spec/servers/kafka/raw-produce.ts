import { connect } from 'node:net';

const PRODUCE = 0;
// The oldest that a broker of version 4 takes.
const VERSION = 3;
const ALL = -1;
const TIMEOUT_MS = 10_000;
const CLIENT = 'raw-produce';

/**
 * Sends bytes as the record batches of a partition, whatever they are, over a connection of its own. Answers with the offset that the first
 * record has; rejects where the broker refuses them, or closes the connection.
 */
export async function rawProduce(
  broker: string,
  topic: string,
  partition: number,
  batches: Uint8Array,
): Promise<bigint> {
  const answer = await ask(broker, requestOf(topic, partition, batches));
  // Correlation id, number of topics, topic, number of partitions, partition.
  const at = 4 + 4 + 2 + answer.readInt16BE(8) + 4 + 4;
  const code = answer.readInt16BE(at);
  if (code !== 0) throw new Error(`the broker refuses the batch: error ${code}`);
  return answer.readBigInt64BE(at + 2);
}

function requestOf(topic: string, partition: number, batches: Uint8Array): Buffer {
  const request = Buffer.concat([
    int16(PRODUCE),
    int16(VERSION),
    int32(0),
    text(CLIENT),
    int16(-1),
    int16(ALL),
    int32(TIMEOUT_MS),
    int32(1),
    text(topic),
    int32(1),
    int32(partition),
    int32(batches.length),
    batches,
  ]);
  return Buffer.concat([int32(request.length), request]);
}

function ask(broker: string, request: Uint8Array): Promise<Buffer> {
  const [host, port] = broker.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect({ host: host ?? '', port: Number(port) });
    let got = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      if (got.length < 4 || got.length < 4 + got.readInt32BE(0)) return;
      resolve(got.subarray(4));
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the broker closed the connection')));
    socket.write(request);
  });
}

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)]);
}
