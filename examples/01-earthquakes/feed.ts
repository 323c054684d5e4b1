import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Message } from 'rxsluice';
import { z } from 'zod';

const READS = 2;

const feedSchema = z.object({
  features: z.array(
    z.looseObject({ id: z.string(), properties: z.looseObject({ net: z.string(), time: z.number() }) }),
  ),
});

/** The earthquakes as a poller that reads the feed twice would publish them: each comes twice, keyed by its network. */
export async function feedMessages(): Promise<Message[]> {
  const feed = feedSchema.parse(JSON.parse(await readFile(feedPath(), 'utf8')));
  // The feed has the newest first; a poller publishes in the order of events.
  const messages = feed.features
    .sort((a, b) => a.properties.time - b.properties.time)
    .map((feature) => ({
      key: feature.properties.net,
      value: JSON.stringify(feature),
      timestamp: feature.properties.time,
    }));
  return Array.from({ length: READS }, () => messages).flat();
}

// The data is not in the package's exports, so its entry shows where the package is.
function feedPath(): string {
  const entry = createRequire(import.meta.url).resolve('vega-datasets');
  return join(dirname(entry), '..', 'data', 'earthquakes.json');
}
