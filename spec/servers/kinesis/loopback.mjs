// Preloaded into a server that would listen on all addresses of the machine: it listens on 127.0.0.1 alone. It also keeps connections
// that are idle: Node's server closes one after 5 s, and a client that sends just then, as a test does on a busy machine, is told
// "socket hang up", though the request may have been taken.
import { Server } from 'node:net';

const { listen } = Server.prototype;

Server.prototype.listen = function listenOnLoopback(first, ...rest) {
  if ('keepAliveTimeout' in this) this.keepAliveTimeout = 0;
  const where = typeof first === 'object' ? first : { port: Number(first) };
  const listener = rest.filter((argument) => typeof argument === 'function');
  return listen.call(this, { ...where, host: '127.0.0.1' }, ...listener);
};
