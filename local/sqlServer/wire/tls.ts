import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { TLSSocket, type SecureContext } from 'node:tls';
import { packet, PacketType } from './packets';

/**
 * The TLS side of a connection. Until the client has our Finished, its handshake travels in PRELOGIN packets, one
 * message per flight and direction (a flight in two messages hangs the client); then naked. Answers the clear text
 * side.
 */
export function startTls(socket: Socket, secureContext: SecureContext): TLSSocket {
  let wrapped = true;
  let inbound: Buffer = Buffer.alloc(0);
  let flight: Buffer[] = [];
  const carrier = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (!wrapped) {
        socket.write(chunk, () => done());
        return;
      }
      if (flight.push(chunk) === 1) setImmediate(sendFlight);
      done();
    },
    final: (done) => socket.end(() => done()),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  const sendFlight = (): void => {
    const payload = Buffer.concat(flight);
    flight = [];
    if (socket.writable) socket.write(packet(PacketType.prelogin, payload, true));
  };
  socket.on('data', (chunk: Buffer) => {
    inbound = inbound.length === 0 ? chunk : Buffer.concat([inbound, chunk]);
    while (wrapped && inbound.length >= 8) {
      if (inbound[0] !== PacketType.prelogin) {
        wrapped = false;
        break;
      }
      const length = inbound.readUInt16BE(2);
      if (inbound.length < length) return;
      carrier.push(inbound.subarray(8, length));
      inbound = inbound.subarray(length);
    }
    if (wrapped || inbound.length === 0) return;
    const data = inbound;
    inbound = Buffer.alloc(0);
    if (!carrier.push(data)) socket.pause();
  });
  socket.on('end', () => carrier.push(null));
  socket.on('close', () => carrier.destroy());
  return new TLSSocket(carrier, { isServer: true, secureContext });
}
