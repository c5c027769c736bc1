/** Content types other than the agreed one, with everything else right. */
import { allowing, encode, toJson, toProto } from "../answer.ts";
import { ANY, family, grpc, http, MALFORMED } from "../case.ts";
import { envelope, GRPC_OK, type Header } from "../frames.ts";
import { type HttpHeader, response } from "../http1.ts";
import { utf8 } from "../protobuf.ts";

const { cases, guard } = family("content-type");
export const contentTypes = cases;

const typed = (...headers: readonly Header[]) =>
  grpc((q, h2) => [
    h2.headers([[":status", "200"], ...headers]),
    h2.data(envelope(toProto(allowing(q)))),
    h2.trailers(GRPC_OK),
  ]);
const T = (value: string): Header => ["content-type", value];

const GRPC_TYPES: Record<string, string> = {
  html: "text/html",
  text: "text/plain",
  json: "application/json",
  "octet-stream": "application/octet-stream",
  protobuf: "application/x-protobuf",
  proto: "application/proto",
  "connect-proto": "application/connect+proto",
  web: "application/grpc-web",
  "web-proto": "application/grpc-web+proto",
  "web-text": "application/grpc-web-text",
  "plus-json": "application/grpc+json",
  "plus-thrift": "application/grpc+thrift",
  "plus-nothing": "application/grpc+",
  "plus-protobuf": "application/grpc+protobuf",
  longer: "application/grpcx",
  charset: "application/grpc;charset=utf-8",
  parameter: "application/grpc; proto=1",
  "bare-semicolon": "application/grpc;",
  "two-in-one": "application/grpc, text/html",
  "one-short": "application/grp",
  "other-tree": "text/grpc",
  empty: "",
  wildcard: "*/*",
  multipart: "multipart/mixed; boundary=application/grpc",
};
for (const [name, type] of Object.entries(GRPC_TYPES)) {
  guard(`grpc-${name}`, `The content type is "${type}"`, typed(T(type)), ANY);
}
guard("grpc-missing", "There is no content type", typed(), ANY);
guard("grpc-twice", "The content type comes twice", typed(T("application/grpc"), T("application/grpc")), ANY);
guard(
  "grpc-then-html",
  "Two content types: application/grpc, and text/html",
  typed(T("application/grpc"), T("text/html")),
  ANY,
);
guard(
  "grpc-html-then",
  "Two content types: text/html, and application/grpc",
  typed(T("text/html"), T("application/grpc")),
  ANY,
);
guard(
  "grpc-html-page",
  "A page of HTML with grpc-status 0",
  grpc((_, h2) => [
    h2.headers([[":status", "200"], T("text/html")]),
    h2.data(utf8("<html>ALLOW</html>")),
    h2.trailers(GRPC_OK),
  ]),
  ANY,
);

const CONNECT_TYPES: Record<string, string> = {
  html: "text/html",
  text: "text/plain",
  "text-json": "text/json",
  "octet-stream": "application/octet-stream",
  "x-protobuf": "application/x-protobuf",
  protobuf: "application/protobuf",
  problem: "application/problem+json",
  "vendor-json": "application/vnd.datacrawl+json",
  grpc: "application/grpc",
  "grpc-proto": "application/grpc+proto",
  "grpc-web": "application/grpc-web+proto",
  "stream-proto": "application/connect+proto",
  "stream-json": "application/connect+json",
  form: "application/x-www-form-urlencoded",
  xml: "application/xml",
  wildcard: "*/*",
  nonsense: "allow",
};
const withTypes = (...types: readonly string[]) =>
  http((_, a) => [
    response(
      200,
      types.map((type): HttpHeader => ["content-type", type]),
      a.allow,
    ),
  ]);
for (const [name, type] of Object.entries(CONNECT_TYPES)) {
  guard(`connect-${name}`, `The content type is "${type}"`, withTypes(type), ANY);
}
guard("connect-missing", "There is no content type", withTypes(), ANY);
guard("connect-empty", "The content type is empty", withTypes(""), ANY);
guard(
  "connect-utf-16",
  "The right type, in UTF-16",
  http((_, a) => [response(200, [["content-type", `${a.contentType}; charset=utf-16`]], a.allow)]),
  ANY,
);
guard(
  "connect-two-in-one",
  "The right type, and text/html, in one header",
  http((_, a) => [response(200, [["content-type", `${a.contentType}, text/html`]], a.allow)]),
  ANY,
);
guard(
  "connect-html-then",
  "Two content types: text/html, and the right one",
  http((_, a) => [
    response(
      200,
      [
        ["content-type", "text/html"],
        ["content-type", a.contentType],
      ],
      a.allow,
    ),
  ]),
  ANY,
);
guard(
  "connect-longer",
  "The right type and a letter more",
  http((_, a) => [response(200, [["content-type", `${a.contentType}x`]], a.allow)]),
  ANY,
);
const otherType = (asked: string) => (asked === "application/json" ? "application/proto" : "application/json");
guard(
  "connect-other-codec-named",
  "The other codec's type, over an answer in the one that was asked for",
  http((_, a) => [response(200, [["content-type", otherType(a.contentType)]], a.allow)]),
  ANY,
);
guard(
  "connect-other-codec",
  "A right answer in the codec that was not asked for",
  http((q, a) => [
    response(
      200,
      [["content-type", otherType(a.contentType)]],
      encode(allowing(q), { ...q, codec: q.codec === "json" ? "proto" : "json" }),
    ),
  ]),
  ANY,
);
guard(
  "connect-other-codec-disguised",
  "An answer in the other codec, under the type that was asked for",
  http((q, a) => [
    response(
      200,
      [["content-type", a.contentType]],
      q.codec === "json" ? toProto(allowing(q)) : utf8(toJson(allowing(q))),
    ),
  ]),
  MALFORMED,
);
