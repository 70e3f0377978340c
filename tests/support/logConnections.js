/** Loaded into the app's process: logs each connection to another machine. */
const net = require('node:net');

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const [options] = Array.isArray(given[0]) ? given[0] : given;
  const host = typeof options === 'object' ? (options.host ?? 'localhost') : 'localhost';
  const isPath = typeof options === 'object' && options.path;
  if (!isPath && !/^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host))
    process.stdout.write(`LEAVES THE MACHINE: ${host}\n`);
  return connect.apply(this, given);
};
