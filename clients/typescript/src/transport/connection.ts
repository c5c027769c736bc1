import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import type { Certificate } from "./identity.ts";
import type { Endpoint } from "./transport.ts";

/**
 * One HTTP/2 connection. It keeps the process alive only while somebody awaits a call on it. Retired, it takes no new calls and
 * goes when its last call has gone.
 */
export class Connection {
  readonly session: http2.ClientHttp2Session;
  readonly #socket: net.Socket;
  #calls = 0;
  #awaited = 0;
  #retired = false;

  readonly certificate: Certificate | null;

  constructor(endpoint: Endpoint, certificate: Certificate | null) {
    this.certificate = certificate;
    this.#socket = connect(endpoint, certificate);
    this.#socket.setKeepAlive(true, 30_000);
    this.#socket.unref();
    this.session = http2.connect(endpoint.url.origin, {
      createConnection: () => this.#socket,
      settings: { enablePush: false },
      // In megabytes. Node's 10 break calls off when some forty of the largest payloads are under way at once; what the
      // server can make us hold is bounded by the flow-control window, which is 64 KiB.
      maxSessionMemory: 1024,
    });
    // Each of its calls has got the error before.
    this.session.on("error", () => {});
    this.session.on("close", () => this.retire());
    this.session.once("connect", () => {
      const { alpnProtocol } = this.session;
      if (this.session.encrypted && alpnProtocol !== "h2")
        this.session.destroy(new Error("the server does not speak HTTP/2"));
    });
  }

  /** False also after GOAWAY, which closes the session to new calls. */
  get usable(): boolean {
    return !this.#retired && !this.session.closed && !this.session.destroyed;
  }

  /** How many bytes have arrived, which distinguishes a slow server from a silent one. */
  get heard(): number {
    return this.#socket.bytesRead;
  }

  get lost(): boolean {
    return this.session.destroyed || this.#socket.destroyed;
  }

  /** Counts a call in; the returned function counts it out, once. */
  enter(awaited: boolean): () => void {
    this.#calls++;
    if (awaited && this.#awaited++ === 0) this.#socket.ref();
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      if (awaited && --this.#awaited === 0) this.#socket.unref();
      if (--this.#calls === 0 && this.#retired) this.session.destroy();
    };
  }

  retire(): void {
    this.#retired = true;
    if (this.#calls === 0) this.session.destroy();
  }

  destroy(): void {
    this.session.destroy();
  }
}

function connect({ url, ca }: Endpoint, certificate: Certificate | null): net.Socket {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  if (url.protocol === "http:") return net.connect({ host, port });
  return tls.connect({
    host,
    port,
    ...(net.isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca }),
    ...certificate,
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.2",
    // Said out loud, or NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would turn the check off.
    rejectUnauthorized: true,
  });
}
