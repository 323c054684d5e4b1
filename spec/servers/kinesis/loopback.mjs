// Preloaded into a server that would listen on all addresses of the machine: it listens on 127.0.0.1 alone.
import { Server } from 'node:net';

const { listen } = Server.prototype;

Server.prototype.listen = function listenOnLoopback(first, ...rest) {
  const where = typeof first === 'object' ? first : { port: Number(first) };
  const listener = rest.filter((argument) => typeof argument === 'function');
  return listen.call(this, { ...where, host: '127.0.0.1' }, ...listener);
};
