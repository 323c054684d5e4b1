import { finalize, type Observable } from 'rxjs';
import { pump } from './pump.js';
import type { Session } from './session.js';

/**
 * Work that must be over before the source reports `closed`, such as giving a claim back (I8); bounded by the drain
 * time-out, as everything is that a close waits for. Its failure is ignored: what it would give back lapses by itself.
 * @internal
 */
export function linger(session: Session, work: Observable<unknown>): void {
  session.lingering++;
  const ended = (): void => {
    session.lingering--;
    if (session.lingering === 0) session.onLingered();
    pump(session);
  };
  session.background.add(work.pipe(finalize(ended)).subscribe({ error: () => undefined }));
}
