/** A stream as a call names it. @internal */
export type KinesisStreamInput = { readonly StreamName: string } | { readonly StreamARN: string };

/** How a call names a stream that is given by its name or its ARN. @internal */
export function streamInput(stream: string): KinesisStreamInput {
  return isArn(stream) ? { StreamARN: stream } : { StreamName: stream };
}

/** The name of a stream that is given by its name or its ARN. @internal */
export function streamName(stream: string): string {
  return isArn(stream) ? stream.slice(stream.lastIndexOf('/') + 1) : stream;
}

/** Whether it is the name or the ARN of a stream. @internal */
export function isStream(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  return /^[a-zA-Z0-9_.-]{1,128}$/.test(isArn(value) ? streamName(value) : value);
}

function isArn(stream: string): boolean {
  return /^arn:[^:]*:kinesis:[^:]*:\d{12}:stream\//.test(stream);
}
