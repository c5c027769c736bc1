/**
 * Answers Connect requests over HTTP/1.1 as their cases say. Node parses the requests; the answers are written to the
 * socket byte by byte, one a connection.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import { allowing, denying, encode } from "./answer.ts";
import type { Case, Method } from "./case.ts";
import { caseOfDecision, caseOfTool } from "./catalogue.ts";
import { connectAnswer, type HttpAnswer, response } from "./http1.ts";
import type { Memory } from "./memory.ts";
import { type Body, codings, methodOf, pathOf, type Question, readJson, readProto } from "./question.ts";
import { utf8 } from "./protobuf.ts";
import { play, type Step, wireOf } from "./script.ts";

const JSON_TYPE: readonly [string, string] = ["content-type", "application/json"];

/** Serves connections that are handed to it (`emit("connection")`) or that it accepts; `about` is GET /endpoints. */
export function connectServer(memory: Memory, about: () => string): Server {
  const server = createServer((request) => void handle(request, memory, about));
  // Scripts and clients break off when they please.
  server.on("clientError", (_, socket) => socket.destroy());
  server.requestTimeout = 0;
  return server;
}

async function handle(request: IncomingMessage, memory: Memory, about: () => string): Promise<void> {
  const socket = request.socket;
  socket.setNoDelay(true);
  socket.on("error", () => {});
  const gone = new AbortController();
  socket.on("close", () => gone.abort());
  try {
    const { steps, question } = await answerTo(request, memory, about);
    if (await play(steps, wireOf(socket), question, gone.signal, memory.clock)) socket.end();
  } catch {
    socket.destroy(); // The client broke its request off.
  }
}

async function answerTo(
  request: IncomingMessage,
  memory: Memory,
  about: () => string,
): Promise<{ steps: Iterable<Step>; question: Question }> {
  const codec = request.headers["content-type"] === "application/json" ? "json" : "proto";
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const timeout = Number(request.headers["connect-timeout-ms"] ?? Number.NaN);
  const previous = memory.last();
  const question = memory.questionOf(bodyOf(codec, Buffer.concat(chunks), methodOf(request.url)), {
    method: methodOf(request.url),
    authorization: request.headers.authorization,
    codec,
    accepts: codings(request.headers["accept-encoding"]?.toString()),
    deadlineMs: Number.isFinite(timeout) ? timeout : null,
  });
  if (request.url === "/endpoints") return { steps: [response(200, [JSON_TYPE], utf8(about()))], question };
  if (request.url === "/redirected") return { steps: redirected(question, previous), question };
  return { steps: stepsFor(request, question), question };
}

function bodyOf(codec: "proto" | "json", body: Uint8Array, method: Method): Body | null {
  try {
    return codec === "json" ? readJson(body) : readProto(body, method);
  } catch {
    return null;
  }
}

function stepsFor(request: IncomingMessage, q: Question): Iterable<Step> {
  if (request.url !== pathOf(q.method) || request.method !== "POST")
    return failure(501, "unimplemented", "only Authorize and BeginExecution are served");
  const chosen = q.method === "BeginExecution" ? caseOfDecision(q.decisionId) : caseOfTool(q.tool);
  return chosen === undefined
    ? failure(400, "invalid_argument", `no case has the tool ${q.tool}`)
    : connectSteps(chosen, q);
}

function connectSteps({ answer, name }: Case, q: Question): Iterable<Step> {
  const contentType = `application/${q.codec}`;
  if (answer.kind === "fields") return connectAnswer(contentType, encode(answer.fields(q), q));
  if (answer.kind === "http") return answer.script(q, rightAnswers(q, contentType));
  if (answer.kind === "proto" && q.codec === "proto") return connectAnswer(contentType, answer.bytes(q));
  if (answer.kind === "json" && q.codec === "json") return connectAnswer(contentType, bytesOf(answer.text(q)));
  return failure(400, "invalid_argument", `${name} is not a case of Connect with ${q.codec}`);
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? utf8(text) : text;
}

function rightAnswers(q: Question, contentType: string): HttpAnswer {
  return { contentType, allow: encode(allowing(q), q), deny: encode(denying(q), q) };
}

/** A client that followed a redirection with the question gets its allow; so does one that lost the question on the way. */
function redirected(asked: Question, previous: Question | null): Step[] {
  const question = asked.tool === "" && previous !== null ? previous : asked;
  return connectAnswer(`application/${question.codec}`, encode(allowing(question), question));
}

function failure(status: number, code: string, message: string): Step[] {
  return [response(status, [JSON_TYPE], utf8(JSON.stringify({ code, message })))];
}

/** Hands a connection that was accepted elsewhere (TLS) to the server. */
export function serveConnect(server: Server, socket: Socket): void {
  server.emit("connection", socket);
}
