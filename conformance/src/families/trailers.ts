/** gRPC's status: where it stands and how it is written. Only `grpc-status: 0`, once, in the trailers, means OK. */
import { allowing, toProto } from "../answer.ts";
import { ANY, BROKEN, family, grpc, LATE, MALFORMED } from "../case.ts";
import { envelope, GRPC_HEADERS, GRPC_OK, type Header } from "../frames.ts";
import { utf8 } from "../protobuf.ts";
import type { Question } from "../question.ts";
import { RESET, STALL, wait } from "../script.ts";

const { cases, stub, guard } = family("trailers");
export const trailerCases = cases;

const framed = (q: Question) => envelope(toProto(allowing(q)));
/** A right answer, but for its trailers. */
const trailers = (...headers: readonly Header[]) =>
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q)), h2.trailers(headers)]);
const status = (value: string | Uint8Array) => trailers(["grpc-status", value]);
/** A right answer, but for its headers. */
const headers = (more: readonly Header[], ...last: readonly Header[]) =>
  grpc((q, h2) => [h2.headers([...GRPC_HEADERS, ...more]), h2.data(framed(q)), h2.trailers(last)]);

stub(
  "none",
  "The stream ends with the message; there are no trailers",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.lastData(framed(q))]),
  BROKEN,
);
stub(
  "none-empty-data",
  "The stream ends with an empty DATA frame; there are no trailers",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q)), h2.lastData(new Uint8Array())]),
  BROKEN,
);
stub("empty", "An empty header block as trailers", trailers(), BROKEN);
stub("without-status", "Trailers without grpc-status", trailers(["x-trace", "a"]), BROKEN);
stub("message-without-status", "grpc-message: OK, and no grpc-status", trailers(["grpc-message", "OK"]), BROKEN);

stub("status-empty", "grpc-status is empty", status(""), MALFORMED);
stub("status-hex", "grpc-status is 0x0", status("0x0"), MALFORMED);
stub("status-plus", "grpc-status is +0", status("+0"), MALFORMED);
stub("status-minus", "grpc-status is -0", status("-0"), MALFORMED);
stub("status-fraction", "grpc-status is 0.0", status("0.0"), MALFORMED);
stub("status-exponent", "grpc-status is 0e0", status("0e0"), MALFORMED);
stub("status-list", "grpc-status is 0,0", status("0,0"), MALFORMED);
stub("status-list-spaced", "grpc-status is 0, 0", status("0, 0"), MALFORMED);
stub("status-list-bad", "grpc-status is 0,14", status("0,14"), MALFORMED);
stub("status-semicolon", "grpc-status is 0;", status("0;"), MALFORMED);
stub("status-quoted", 'grpc-status is "0"', status('"0"'), MALFORMED);
stub("status-ok", "grpc-status is OK", status("OK"), MALFORMED);
stub("status-null", "grpc-status is null", status("null"), MALFORMED);
stub("status-false", "grpc-status is false", status("false"), MALFORMED);
stub("status-letter", "grpc-status is the letter O", status("O"), MALFORMED);
stub("status-digit-of-another-script", "grpc-status is the Arabic-Indic digit 0", status(utf8("\u0660")), MALFORMED);
stub("status-comment", "grpc-status is 0 (OK)", status("0 (OK)"), MALFORMED);
stub("status-array", "grpc-status is [0]", status("[0]"), MALFORMED);
// gRPC writes a status as digits, which these are; no server writes one so.
guard("status-00", "grpc-status is 00", status("00"), MALFORMED);
guard("status-many-zeros", "grpc-status is 00000000", status("00000000"), MALFORMED);
stub("status-two-to-32", "grpc-status is 4294967296, which truncates to 0", status("4294967296"), ANY);
stub(
  "status-two-to-64",
  "grpc-status is 18446744073709551616, which truncates to 0",
  status("18446744073709551616"),
  ANY,
);
stub("status-256", "grpc-status is 256, which truncates to 0 in a byte", status("256"), ANY);
// HTTP/2 forbids white space around a value; which part of a client strips or refuses it is its own affair.
guard("status-space-before", "grpc-status has a space before it", status(" 0"), MALFORMED);
guard("status-space-after", "grpc-status has a space after it", status("0 "), MALFORMED);
guard("status-tab-after", "grpc-status has a tab after it", status("0\t"), MALFORMED);
stub("status-nul-after", "grpc-status has a NUL after it", status("0\0"), ANY);
stub("status-newline-after", "grpc-status has a line break after it", status("0\r\n"), ANY);

const S = (value: string): Header => ["grpc-status", value];
guard("status-twice", "grpc-status: 0, twice", trailers(S("0"), S("0")), MALFORMED);
guard("status-0-then-14", "grpc-status: 0, and then 14", trailers(S("0"), S("14")), MALFORMED);
guard("status-14-then-0", "grpc-status: 14, and then 0", trailers(S("14"), S("0")), MALFORMED);
guard("status-7-then-0", "grpc-status: 7, and then 0", trailers(S("7"), S("0")), MALFORMED);
guard("status-0-then-empty", "grpc-status: 0, and then empty", trailers(S("0"), S("")), MALFORMED);
stub("name-in-capitals", "Grpc-Status, in capitals, which HTTP/2 forbids", trailers(["Grpc-Status", "0"]), ANY);
stub("name-with-underscore", "grpc_status", trailers(["grpc_status", "0"]), BROKEN);
stub("name-status", "status: 0", trailers(["status", "0"]), BROKEN);
stub("name-bin", "grpc-status-bin: 0", trailers(["grpc-status-bin", "AA=="]), BROKEN);
stub("name-padded", "The header's name has a space after it", trailers(["grpc-status ", "0"]), ANY);

stub(
  "status-in-headers-only",
  "grpc-status: 0 in the headers, and none in the trailers",
  headers([S("0")], ["x-trace", "a"]),
  BROKEN,
);
stub(
  "status-in-headers-no-trailers",
  "grpc-status: 0 in the headers, and no trailers",
  grpc((q, h2) => [h2.headers([...GRPC_HEADERS, ...GRPC_OK]), h2.lastData(framed(q))]),
  BROKEN,
);
guard("status-14-in-headers", "grpc-status: 14 in the headers, 0 in the trailers", headers([S("14")], S("0")), ANY);
guard("status-7-in-headers", "grpc-status: 7 in the headers, 0 in the trailers", headers([S("7")], S("0")), ANY);
stub(
  "status-0-in-headers-14-in-trailers",
  "grpc-status: 0 in the headers, 14 in the trailers",
  headers([S("0")], S("14")),
  ANY,
);
stub(
  "http-status-in-trailers",
  ":status among the trailers, which HTTP/2 forbids",
  trailers([":status", "200"], S("0")),
  ANY,
);
stub("http-error-in-trailers", ":status 503 among the trailers", trailers([":status", "503"], S("0")), ANY);
stub(
  "open-stream",
  "Trailers that do not end the stream, and nothing more",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q)), h2.headers(GRPC_OK), STALL]),
  [...LATE, ...BROKEN],
);
stub(
  "open-stream-reset",
  "Trailers that do not end the stream, and a TCP reset",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q)), h2.headers(GRPC_OK), wait(20), RESET]),
  BROKEN,
);
stub(
  "two-blocks",
  "Two blocks of trailers: status 0, and then status 14",
  grpc((q, h2) => [h2.headers(GRPC_HEADERS), h2.data(framed(q)), h2.headers(GRPC_OK), h2.trailers([S("14")])]),
  ANY,
);
