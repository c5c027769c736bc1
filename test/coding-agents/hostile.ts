import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

export interface Hostile {
  readonly url: string;
  close(): void;
}

/** A service that takes connections and says nothing. */
export function startSilent(): Promise<Hostile> {
  return listen(createServer());
}

/** A service that answers every call with success, and with bytes that are no answer. */
export function startMalformed(): Promise<Hostile> {
  const server = createHttp2Server();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
    // A frame of one byte, which begins a field and does not go on.
    stream.end(Buffer.from([0, 0, 0, 0, 1, 0x0a]));
  });
  return listen(server);
}

async function listen(server: Server): Promise<Hostile> {
  const sockets: Socket[] = [];
  server.on("connection", (socket: Socket) => void sockets.push(socket.on("error", () => {})));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
