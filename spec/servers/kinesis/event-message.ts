import { crc32 } from 'node:zlib';

const TEXT = 7;

/** A message of `application/vnd.amazon.eventstream`: lengths, headers of text, payload, each part with its checksum. */
export function eventMessage(headers: Readonly<Record<string, string>>, payload: string): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.concat(
    Object.entries(headers).map(([name, value]) => header(Buffer.from(name), Buffer.from(value))),
  );
  const prelude = Buffer.alloc(8);
  prelude.writeUInt32BE(16 + head.length + body.length, 0);
  prelude.writeUInt32BE(head.length, 4);
  const checked = Buffer.concat([prelude, checksum(prelude), head, body]);
  return Buffer.concat([checked, checksum(checked)]);
}

function header(name: Buffer, value: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(value.length);
  return Buffer.concat([Buffer.from([name.length]), name, Buffer.from([TEXT]), length, value]);
}

function checksum(bytes: Buffer): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum;
}
