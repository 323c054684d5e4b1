import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;

/** Returns when the server answers as `isReady` wants it; rejects when the signal comes first. */
export async function untilAnswers(
  url: string,
  signal: AbortSignal,
  isReady: (response: Response) => boolean,
): Promise<void> {
  const answers = (): Promise<boolean> => fetch(url, { signal }).then(isReady, () => false);
  while (!(await answers())) await sleep(POLL_MS, undefined, { signal });
}
