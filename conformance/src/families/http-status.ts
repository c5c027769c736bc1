/** HTTP statuses other than 200, with everything else right. Over gRPC a stub may heed grpc-status alone; a guard may not. */
import { allowing, toProto } from "../answer.ts";
import { ANY, family, grpc, http } from "../case.ts";
import { envelope, GRPC_OK, type Header } from "../frames.ts";
import { connectAnswer, head, headText, response } from "../http1.ts";
import { utf8 } from "../protobuf.ts";
import { END, send, STALL } from "../script.ts";

const { cases, stub, guard } = family("http-status");
export const httpStatuses = cases;

const CONTENT_TYPE: Header = ["content-type", "application/grpc"];
/** A right gRPC answer, but for these pseudo-headers. */
const pseudo = (...headers: readonly Header[]) =>
  grpc((q, h2) => [
    h2.headers([...headers, CONTENT_TYPE]),
    h2.data(envelope(toProto(allowing(q)))),
    h2.trailers(GRPC_OK),
  ]);

const STATUSES = [
  201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406,
  407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 425, 426, 428, 429, 431, 451, 499, 500, 501,
  502, 503, 504, 505, 506, 507, 508, 511, 520, 599, 600, 999,
];
for (const status of STATUSES) {
  guard(`grpc-${status}`, `HTTP ${status}, with an allow and grpc-status 0`, pseudo([":status", String(status)]), ANY);
}
for (const status of STATUSES) {
  // Connect calls anything but 200 an error, so a stub must not look at the body.
  stub(
    `connect-${status}`,
    `HTTP ${status}, with an allow`,
    http((_, a) => [response(status, [["content-type", a.contentType]], a.allow)]),
    ANY,
  );
}

// What proxies answer: a page, without a word of gRPC.
for (const status of [200, 400, 401, 403, 404, 429, 500, 502, 503, 504]) {
  const page = utf8("<html><body>ALLOW</body></html>");
  stub(
    `grpc-page-${status}`,
    `HTTP ${status}, with a page`,
    grpc((_, h2) => [
      h2.headers([
        [":status", String(status)],
        ["content-type", "text/html"],
      ]),
      h2.lastData(page),
    ]),
    ANY,
  );
  stub(
    `connect-page-${status}`,
    `HTTP ${status}, with a page`,
    http(() => [response(status, [["content-type", "text/html"]], page)]),
    ANY,
  );
  if (status !== 200) {
    stub(
      `grpc-bare-${status}`,
      `HTTP ${status}, and nothing else`,
      grpc((_, h2) => [h2.trailers([[":status", String(status)]])]),
      ANY,
    );
  }
}

stub("grpc-missing", "No :status", pseudo(), ANY);
stub("grpc-twice", ":status 200, twice", pseudo([":status", "200"], [":status", "200"]), ANY);
stub("grpc-twice-differing", ":status 200, and then 503", pseudo([":status", "200"], [":status", "503"]), ANY);
stub("grpc-empty", "An empty :status", pseudo([":status", ""]), ANY);
stub("grpc-two-digits", ":status 20", pseudo([":status", "20"]), ANY);
stub("grpc-four-digits", ":status 2000", pseudo([":status", "2000"]), ANY);
stub("grpc-text", ":status OK", pseudo([":status", "OK"]), ANY);
stub("grpc-with-reason", ":status 200 OK", pseudo([":status", "200 OK"]), ANY);
stub(
  "grpc-100-only",
  "HTTP 100, and then nothing",
  grpc((_, h2) => [h2.headers([[":status", "100"]]), STALL]),
  ANY,
);
stub(
  "grpc-103-only",
  "HTTP 103, and then nothing",
  grpc((_, h2) => [h2.headers([[":status", "103"]]), STALL]),
  ANY,
);
stub("grpc-101", "HTTP 101, which HTTP/2 does not have", pseudo([":status", "101"]), ANY);
stub("grpc-100-final", "HTTP 100 as the final status", pseudo([":status", "100"]), ANY);
stub(
  "grpc-103-ends",
  "HTTP 103, which ends the stream with grpc-status 0",
  grpc((_, h2) => [h2.trailers([[":status", "103"], CONTENT_TYPE, ...GRPC_OK])]),
  ANY,
);

const line = (text: string) => http((_, a) => [response(text, [["content-type", a.contentType]], a.allow)]);
stub("line-no-version", "A status line without a version", line("200 OK"), ANY);
stub("line-version-9", "HTTP/9.9", line("HTTP/9.9 200 OK"), ANY);
stub("line-icy", "ICY 200 OK", line("ICY 200 OK"), ANY);
stub("line-letters", "HTTP/1.1 2OO OK, with letters", line("HTTP/1.1 2OO OK"), ANY);
stub("line-two-digits", "HTTP/1.1 20 OK", line("HTTP/1.1 20 OK"), ANY);
stub("line-no-status", "HTTP/1.1 OK", line("HTTP/1.1 OK"), ANY);
stub("line-negative", "HTTP/1.1 -200 OK", line("HTTP/1.1 -200 OK"), ANY);
stub(
  "line-http-0-9",
  "The body alone, as in HTTP/0.9",
  http((_, a) => [send(a.allow), END]),
  ANY,
);
stub(
  "line-frames",
  "HTTP/2 frames, where HTTP/1.1 was spoken",
  http((_, a) => [send(Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0)), send(a.allow), END]),
  ANY,
);
stub(
  "connect-100-only",
  "HTTP 100, and then nothing",
  http(() => [send("HTTP/1.1 100 Continue\r\n\r\n"), STALL]),
  ANY,
);
stub(
  "connect-103-only",
  "HTTP 103, and then nothing",
  http(() => [send("HTTP/1.1 103 Early Hints\r\n\r\n"), STALL]),
  ANY,
);
stub(
  "connect-101",
  "HTTP 101, and then an answer",
  http((_, a) => [
    send(
      headText("HTTP/1.1 101 Switching Protocols", [
        ["connection", "upgrade"],
        ["upgrade", "allow"],
      ]),
    ),
    ...connectAnswer(a.contentType, a.allow),
  ]),
  ANY,
);
stub(
  "connect-no-answer",
  "An empty header block, and the end",
  http(() => [send("\r\n\r\n"), END]),
  ANY,
);

// A redirection whose target would allow. The question was put to this address, and no other may answer it.
for (const status of [301, 302, 303, 307, 308]) {
  guard(
    `redirect-${status}`,
    `HTTP ${status} to an address that allows`,
    http(() => [response(status, [["location", "/redirected"]], new Uint8Array())]),
    ANY,
  );
}
guard(
  "refresh",
  "HTTP 503 with a Refresh to an address that allows",
  http(() => [
    head(503, [
      ["refresh", "0; url=/redirected"],
      ["content-length", "0"],
      ["connection", "close"],
    ]),
  ]),
  ANY,
);
