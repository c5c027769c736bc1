/** Every gRPC status other than OK, alone and with an allow before it. A fault is a deny, whatever came with it. */
import { allowing, toProto } from "../answer.ts";
import { ANY, type CaseReason, DOWN, family, grpc, http, LATE, REFUSED } from "../case.ts";
import { envelope, GRPC_HEADERS, type Header } from "../frames.ts";
import { response } from "../http1.ts";
import { concat, lenField, utf8, varintField } from "../protobuf.ts";

const { cases, stub } = family("status");
export const statuses = cases;

interface Status {
  readonly code: number;
  readonly name: string;
  /** Which HTTP status the Connect protocol gives it. */
  readonly http: number;
  /** What a guard makes of it, where one thing is right. */
  readonly reasons: readonly CaseReason[];
}
const STATUSES: readonly Status[] = [
  { code: 1, name: "canceled", http: 499, reasons: ANY },
  { code: 2, name: "unknown", http: 500, reasons: ANY },
  { code: 3, name: "invalid_argument", http: 400, reasons: REFUSED },
  { code: 4, name: "deadline_exceeded", http: 504, reasons: [...LATE, ...DOWN] },
  { code: 5, name: "not_found", http: 404, reasons: ANY },
  { code: 6, name: "already_exists", http: 409, reasons: ANY },
  { code: 7, name: "permission_denied", http: 403, reasons: REFUSED },
  { code: 8, name: "resource_exhausted", http: 429, reasons: REFUSED },
  { code: 9, name: "failed_precondition", http: 400, reasons: ANY },
  { code: 10, name: "aborted", http: 409, reasons: ANY },
  { code: 11, name: "out_of_range", http: 400, reasons: ANY },
  { code: 12, name: "unimplemented", http: 501, reasons: ANY },
  { code: 13, name: "internal", http: 500, reasons: ANY },
  { code: 14, name: "unavailable", http: 503, reasons: DOWN },
  { code: 15, name: "data_loss", http: 500, reasons: ANY },
  { code: 16, name: "unauthenticated", http: 401, reasons: REFUSED },
];

const status = (code: number | string): Header => ["grpc-status", String(code)];
const alone = (...trailers: readonly Header[]) => grpc((_, h2) => [h2.trailers([...GRPC_HEADERS, ...trailers])]);
const afterAllow = (...trailers: readonly Header[]) =>
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(envelope(toProto(allowing(q)))), h2.trailers(trailers)]);

/** An error of the Connect protocol, with these members beside its code. */
const connectError = (name: string, httpStatus: number, more = "") =>
  http(() => [
    response(httpStatus, [["content-type", "application/json"]], utf8(`{"code":"${name}","message":"no"${more}}`)),
  ]);
const ALLOW_WITHIN = ',"decision":"DECISION_ALLOW","reason":"REASON_RULE_ALLOWED"';

for (const { code, name, http: httpStatus, reasons } of STATUSES) {
  const kebab = name.replaceAll("_", "-");
  stub(`${kebab}-alone`, `The status ${name}`, alone(status(code), ["grpc-message", "no"]), reasons);
  stub(`${kebab}-after-allow`, `An allow, and then the status ${name}`, afterAllow(status(code)), ANY);
  stub(`connect-${kebab}`, `Connect's error ${name}`, connectError(name, httpStatus), reasons);
  stub(
    `connect-${kebab}-with-allow`,
    `Connect's error ${name}, and an allow in its body`,
    connectError(name, httpStatus, ALLOW_WITHIN),
    ANY,
  );
}

for (const code of ["17", "99", "-1", "1000000", "2147483648"]) {
  stub(
    `unknown${code.startsWith("-") ? "-minus" : ""}-${code.replace("-", "")}-after-allow`,
    `An allow, and then the unknown status ${code}`,
    afterAllow(status(code)),
    ANY,
  );
}

/** A google.rpc.Status in the trailers, with a right allow in its details. */
const details = (code: number): Header => {
  const any = concat(
    lenField(1, "type.googleapis.com/datacrawl.authz.v1.AuthorizeResponse"),
    lenField(2, varintField(15, 1)),
  );
  const bytes = concat(code === 0 ? new Uint8Array() : varintField(1, code), lenField(2, "no"), lenField(3, any));
  return ["grpc-status-details-bin", Buffer.from(bytes).toString("base64")];
};
stub("details-alone", "PERMISSION_DENIED, with an allow in its details", alone(status(7), details(7)), REFUSED);
stub(
  "details-after-allow",
  "An allow, and then PERMISSION_DENIED with an allow in its details",
  afterAllow(status(7), details(7)),
  ANY,
);
stub(
  "details-say-ok",
  "An allow, and then UNAVAILABLE with details that say OK",
  afterAllow(status(14), details(0)),
  ANY,
);
stub(
  "details-not-base64",
  "UNAVAILABLE, with details that are no base64",
  alone(status(14), ["grpc-status-details-bin", "!!!"]),
  ANY,
);
stub("details-without-status", "An allow, and trailers that hold details alone", afterAllow(details(0)), ANY);
stub(
  "message-not-percent-coded",
  "UNAVAILABLE, with a grpc-message that cannot be decoded",
  alone(status(14), ["grpc-message", "%zz%"]),
  DOWN,
);
stub(
  "message-not-utf8",
  "UNAVAILABLE, with a grpc-message that decodes to no UTF-8",
  alone(status(14), ["grpc-message", "%ff%fe"]),
  DOWN,
);
stub(
  "message-huge",
  "UNAVAILABLE, with a grpc-message of 8 KiB",
  alone(status(14), ["grpc-message", "x".repeat(8192)]),
  ANY,
);

const inBody = (text: string, httpStatus = 503) =>
  http(() => [response(httpStatus, [["content-type", "application/json"]], utf8(text))]);
stub("connect-empty-error", "An error without a body", inBody(""), ANY);
stub("connect-error-null", "An error whose body is null", inBody("null"), ANY);
stub("connect-error-list", "An error whose body is a list", inBody('["unavailable"]'), ANY);
stub("connect-error-without-code", "An error without a code", inBody('{"message":"no"}'), ANY);
stub("connect-error-unknown-code", "An error of an unknown code", inBody('{"code":"perhaps"}'), ANY);
stub("connect-error-code-ok", "An error whose code is ok", inBody('{"code":"ok"}'), ANY);
stub("connect-error-code-number", "An error whose code is 0", inBody('{"code":0}'), ANY);
stub("connect-error-code-list", "An error whose code is a list", inBody('{"code":["unavailable"]}'), ANY);
stub("connect-error-not-json", "An error whose body is no JSON", inBody("{unavailable"), ANY);
stub(
  "connect-error-details",
  "An error whose details are nonsense",
  inBody('{"code":"unavailable","details":[1,null,{"type":5,"value":"!"}]}'),
  ANY,
);
