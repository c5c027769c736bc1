/** Answers gRPC requests as their cases say. */
import type { Socket } from "node:net";
import { allowing, encode, toProto } from "./answer.ts";
import { type Case, TOOL_PREFIX } from "./case.ts";
import { caseOfDecision, caseOfTool } from "./catalogue.ts";
import { GRPC_HEADERS, grpcAnswer, h2Stream, type H2Stream } from "./frames.ts";
import { type H2Request, readRequests } from "./h2-connection.ts";
import type { Memory } from "./memory.ts";
import { type Body, codings, grpcTimeoutMs, methodOf, pathOf, type Question, readJson, readProto } from "./question.ts";
import { play, type Step } from "./script.ts";

const ENVELOPE_BYTES = 5;
const INVALID_ARGUMENT = 3;
const UNIMPLEMENTED = 12;

/** Serves one connection. */
export function serveGrpc(socket: Socket, memory: Memory): void {
  socket.setNoDelay(true);
  readRequests(socket, (request) => {
    const { steps, question } = answerTo(request, memory);
    void play(steps, request.wire, question, request.gone, memory.clock);
  });
}

function answerTo(request: H2Request, memory: Memory): { steps: Iterable<Step>; question: Question } {
  const h2 = h2Stream(request.streamId);
  const question = memory.questionOf(bodyOf(request), {
    method: methodOf(request.headers[":path"]),
    authorization: request.headers.authorization,
    codec: request.headers["content-type"] === "application/json" ? "json" : "proto",
    accepts: codings(header(request, "grpc-accept-encoding") ?? header(request, "accept-encoding")),
    deadlineMs: grpcTimeoutMs(header(request, "grpc-timeout")),
  });
  return { steps: stepsFor(request, question, h2), question };
}

function header(request: H2Request, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" ? value : undefined;
}

function isGrpc(request: H2Request): boolean {
  return request.headers["content-type"]?.startsWith("application/grpc") === true;
}

/** Over TLS a Connect client may have chosen HTTP/2; its bodies have no envelope. */
function bodyOf(request: H2Request): Body | null {
  try {
    if (request.headers["content-type"] === "application/json") return readJson(request.body);
    const method = methodOf(request.headers[":path"]);
    return readProto(isGrpc(request) ? request.body.subarray(ENVELOPE_BYTES) : request.body, method);
  } catch {
    return null;
  }
}

function stepsFor(request: H2Request, q: Question, h2: H2Stream): Iterable<Step> {
  const path = request.headers[":path"];
  // Left without an answer: one that came between the bytes of a half-sent frame of the case would be the kit's own mistake.
  if (path === "/datacrawl.authz.v1.AuthorizeService/SyncGuard") return [];
  if (path !== pathOf(q.method)) return failure(h2, UNIMPLEMENTED);
  const chosen = q.method === "BeginExecution" ? caseOfDecision(q.decisionId) : caseOfTool(q.tool);
  if (chosen === undefined)
    return failure(h2, INVALID_ARGUMENT, `no case is called ${q.tool.slice(TOOL_PREFIX.length)}${q.decisionId}`);
  return isGrpc(request) ? grpcSteps(chosen, q, h2) : connectOverHttp2(q, h2);
}

function grpcSteps({ answer, name }: Case, q: Question, h2: H2Stream): Iterable<Step> {
  if (answer.kind === "fields") return grpcAnswer(h2, toProto(answer.fields(q)));
  if (answer.kind === "proto") return grpcAnswer(h2, answer.bytes(q));
  if (answer.kind === "grpc") return answer.script(q, h2);
  return failure(h2, INVALID_ARGUMENT, `${name} is not a case of gRPC`);
}

/** Only the cases of other addresses are asked this way, and they answer with a right allow. */
function connectOverHttp2(q: Question, h2: H2Stream): Step[] {
  return [
    h2.headers([
      [":status", "200"],
      ["content-type", `application/${q.codec}`],
    ]),
    h2.lastData(encode(allowing(q), q)),
  ];
}

function failure(h2: H2Stream, status: number, message = ""): Step[] {
  return [
    h2.trailers([...GRPC_HEADERS, ["grpc-status", String(status)], ["grpc-message", encodeURIComponent(message)]]),
  ];
}
