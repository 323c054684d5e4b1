import { Presets, SingleBar } from 'cli-progress';

const PLAIN_LINES = 4;

export interface Progress {
  readonly update: (settled: number, messages: number) => void;
  readonly end: () => void;
}

/** A bar on a terminal, a few plain lines in a log. */
export function startProgress(stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? bar(stream) : lines(stream);
}

function bar(stream: NodeJS.WriteStream): Progress {
  const format = ' {bar} {value}/{total} messages settled';
  const single = new SingleBar({ stream, format, hideCursor: true, clearOnComplete: true }, Presets.shades_classic);
  return {
    update: (settled, messages) => {
      if (single.isActive) single.update(settled);
      else single.start(messages, settled);
    },
    end: () => single.stop(),
  };
}

function lines(stream: NodeJS.WriteStream): Progress {
  let printed = 0;
  return {
    update: (settled, messages) => {
      const quarters = Math.floor((settled / messages) * PLAIN_LINES);
      if (quarters === printed) return;
      printed = quarters;
      stream.write(`  ${settled}/${messages} messages settled\n`);
    },
    end: () => undefined,
  };
}
