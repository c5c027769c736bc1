/**
 * Addresses where something goes wrong before a request can be read, so that no request can choose it. Whatever gets as far
 * as asking is answered with a right allow: a client that overlooks what is wrong acts on it.
 */
import { allowing } from "../answer.ts";
import { ANY, BROKEN, DOWN, family, fields, SILENT } from "../case.ts";

const tls = family("tls");
const connection = family("connection");
export const tlsCases = tls.cases;
export const connectionCases = connection.cases;

const right = fields(allowing);
const at = (endpoint: string) => ({ endpoint });
const overGrpc = (endpoint: string) => ({ endpoint, transports: ["grpc"] as const });

tls.allow(
  "trusted",
  "A certificate for this host, by the authority that the client is set to trust",
  right,
  at("tls-trusted"),
);
tls.allow("trusted-1-3-only", "The same, over TLS 1.3 alone", right, at("tls-1-3"));
tls.stub("self-signed", "A certificate that vouches for itself", right, BROKEN, at("tls-self-signed"));
tls.stub(
  "unknown-authority",
  "A certificate by an authority that nobody trusts",
  right,
  BROKEN,
  at("tls-unknown-authority"),
);
tls.stub(
  "same-name-authority",
  "A certificate by another authority of the trusted one's name",
  right,
  BROKEN,
  at("tls-same-name-authority"),
);
tls.stub("expired", "A certificate that expired yesterday", right, BROKEN, at("tls-expired"));
tls.stub("not-yet-valid", "A certificate that is valid from tomorrow", right, BROKEN, at("tls-not-yet-valid"));
tls.stub("wrong-host", "A certificate for another host", right, BROKEN, at("tls-wrong-host"));
tls.stub("wrong-address", "A certificate for another address", right, BROKEN, at("tls-wrong-address"));
tls.stub("name-without-host", "A certificate that names no host", right, BROKEN, at("tls-no-host"));
tls.stub("for-clients-only", "A certificate that is good for clients alone", right, BROKEN, at("tls-for-clients"));
tls.stub(
  "issued-by-a-leaf",
  "A certificate that was issued by a certificate of no authority",
  right,
  BROKEN,
  at("tls-issued-by-leaf"),
);
tls.stub(
  "no-common-protocol",
  "ALPN offers only a protocol that nobody speaks",
  right,
  BROKEN,
  overGrpc("tls-no-alpn"),
);
tls.stub("plain-behind-https", "An https URL, and no TLS behind it", right, BROKEN, at("plain-behind-https"));
tls.stub("tls-behind-http", "An http URL, and TLS behind it", right, [...SILENT, ...BROKEN], at("tls-behind-http"));
tls.stub("handshake-garbage", "Noise instead of a handshake", right, BROKEN, at("tls-garbage"));
tls.stub("handshake-alert", "A TLS alert instead of a handshake", right, BROKEN, at("tls-alert"));
tls.stub("handshake-drop", "The connection ends after the client's hello", right, BROKEN, at("tls-drop"));
tls.stub("handshake-reset", "The connection is reset after the client's hello", right, BROKEN, at("tls-reset"));
tls.stub("handshake-stall", "Nobody answers the client's hello", right, SILENT, at("tls-stall"));

connection.stub("refused", "Nobody listens", right, DOWN, at("refused"));
connection.stub("unresolvable", "The host's name does not resolve", right, SILENT, at("unresolvable"));
connection.stub("ended-at-once", "The connection ends as soon as it is made", right, BROKEN, at("ended-at-once"));
connection.stub("reset-at-once", "The connection is reset as soon as it is made", right, BROKEN, at("reset-at-once"));
connection.stub("black-hole", "The connection is made, and nobody reads or writes", right, SILENT, at("black-hole"));
connection.stub(
  "ended-after-request",
  "The connection ends at the client's first bytes",
  right,
  BROKEN,
  at("ended-after-bytes"),
);
connection.stub(
  "reset-after-request",
  "The connection is reset at the client's first bytes",
  right,
  BROKEN,
  at("reset-after-bytes"),
);
connection.stub("garbage", "Noise in answer to anything", right, BROKEN, at("garbage"));
connection.stub("banner", "Another protocol's greeting", right, BROKEN, at("banner"));
connection.stub("http-error-for-all", "An HTTP/1.1 error in answer to anything", right, ANY, at("http-error"));
connection.stub(
  "grpc-at-http1",
  "A server of HTTP/1.1, where HTTP/2 was expected",
  right,
  ANY,
  overGrpc("grpc-at-http1"),
);
connection.stub("connect-at-http2", "A server of HTTP/2, where HTTP/1.1 was expected", right, ANY, {
  endpoint: "connect-at-http2",
  transports: ["connect-proto", "connect-json"],
});
connection.stub(
  "h2-no-settings",
  "The server never sends SETTINGS or anything else",
  right,
  SILENT,
  overGrpc("h2-no-settings"),
);
connection.stub("h2-goaway-first", "SETTINGS, and GOAWAY", right, BROKEN, overGrpc("h2-goaway-first"));
connection.stub(
  "h2-ping-first",
  "PING before SETTINGS, which HTTP/2 forbids, and no answer",
  right,
  [...SILENT, ...BROKEN],
  overGrpc("h2-ping-first"),
);
connection.stub("h2-no-streams", "SETTINGS that permit no stream", right, SILENT, overGrpc("h2-no-streams"));
connection.stub(
  "h2-no-window",
  "SETTINGS that leave no window for the request",
  right,
  SILENT,
  overGrpc("h2-no-window"),
);
connection.stub("h2-settings-broken", "SETTINGS of five bytes", right, BROKEN, overGrpc("h2-settings-broken"));
connection.stub(
  "h2-settings-then-end",
  "SETTINGS, and the end of the connection",
  right,
  BROKEN,
  overGrpc("h2-settings-then-end"),
);
connection.stub(
  "h2-settings-without-end",
  "SETTINGS without end, and no answer",
  right,
  [...SILENT, ...BROKEN],
  overGrpc("h2-settings-without-end"),
);
