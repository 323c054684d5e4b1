import { freePorts } from './free-ports.js';

const TRIES = 5;

/** Starts something on free ports of 127.0.0.1: between the choice of a port and its use another process may take it, then on others. */
export async function onFreePorts<T>(
  count: number,
  start: (...ports: readonly number[]) => Promise<T>,
  tries = TRIES,
): Promise<T> {
  const ports = await freePorts(count);
  try {
    return await start(...ports);
  } catch (error) {
    if (tries > 1 && /EADDRINUSE|already in use|could not bind/i.test(String(error)))
      return onFreePorts(count, start, tries - 1);
    throw error;
  }
}
