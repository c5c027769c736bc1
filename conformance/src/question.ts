/**
 * Reading the question. Answers must name it, so the kit takes agent, tool, key and nonce from the request itself. A
 * reader of its own, of five fields, so that the kit does not depend on the code it is there to test.
 */
import type { Method } from "./case.ts";

/** The path of a method. */
export function pathOf(method: Method): string {
  return `/datacrawl.authz.v1.AuthorizeService/${method}`;
}

/** The method of a path that is not another's: Authorize, where it is not BeginExecution. */
export function methodOf(path: string | undefined): Method {
  return path === pathOf("BeginExecution") ? "BeginExecution" : "Authorize";
}

/** What was asked, and what the client said about itself. */
export interface Question {
  readonly method: Method;
  /** The decision to start; empty for Authorize. */
  readonly decisionId: string;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  /** Empty if the client sent none. */
  readonly nonce: Uint8Array;
  readonly codec: "proto" | "json";
  /** Content codings that the client says it understands, in lower case. */
  readonly accepts: readonly string[];
  /** How long the client says that it waits; null if it does not say. */
  readonly deadlineMs: number | null;
  /** A question that was asked before this one, or null. Replays answer it. */
  readonly earlier: Question | null;
}

/** A request's body. Throws if it is malformed. */
export interface Body {
  readonly tool: string;
  readonly idempotencyKey: string;
  readonly agentId: string;
  readonly nonce: Uint8Array;
  /** Absent in a question of Authorize. */
  readonly decisionId?: string;
}

export const EMPTY = new Uint8Array();

/** A request in protobuf. Fields other than those that answers name are passed over. */
export function readProto(body: Uint8Array, method: Method = "Authorize"): Body {
  const strings = new Map<number, Uint8Array>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = body[at++];
      if (byte === undefined) throw new Error("cut short");
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Error("varint too long");
  };
  while (at < body.length) {
    const tag = varint();
    if ((tag & 7) !== 2) throw new Error(`no field of a request has wire type ${tag & 7}`);
    const end = varint() + at;
    if (end > body.length) throw new Error("cut short");
    strings.set(tag >> 3, body.slice(at, end));
    at = end;
  }
  const text = (field: number) => new TextDecoder().decode(strings.get(field) ?? EMPTY);
  if (method === "BeginExecution")
    return { tool: "", idempotencyKey: "", agentId: "", decisionId: text(1), nonce: strings.get(2) ?? EMPTY };
  return { tool: text(1), idempotencyKey: text(3), agentId: text(4), nonce: strings.get(5) ?? EMPTY };
}

/** A request in JSON, by either of each field's names. */
export function readJson(body: Uint8Array): Body {
  const value: unknown = JSON.parse(new TextDecoder().decode(body));
  if (typeof value !== "object" || value === null) throw new Error("not an object");
  const members = new Map<string, unknown>(Object.entries(value));
  const text = (...names: string[]) => {
    const found = names.map((name) => members.get(name)).find((member) => typeof member === "string");
    return typeof found === "string" ? found : "";
  };
  const decisionId = text("decisionId", "decision_id");
  return {
    ...(decisionId !== "" && { decisionId }),
    tool: text("tool"),
    idempotencyKey: text("idempotencyKey", "idempotency_key"),
    agentId: text("agentId", "agent_id"),
    nonce: new Uint8Array(Buffer.from(text("nonce"), "base64")),
  };
}

/** The agent in `Bearer dc_agent_<agent id>_<key id>_<secret>`, or an empty string. */
export function agentOf(authorization: string | undefined): string {
  return /^Bearer dc_agent_([a-z0-9.-]+)_/.exec(authorization ?? "")?.[1] ?? "";
}

/** `grpc-timeout` (a number of at most 8 digits and a unit) in milliseconds. */
export function grpcTimeoutMs(header: string | undefined): number | null {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header ?? "") ?? [];
  const perUnit = new Map([
    ["H", 3_600_000],
    ["M", 60_000],
    ["S", 1000],
    ["m", 1],
    ["u", 1e-3],
    ["n", 1e-6],
  ]).get(unit ?? "");
  return digits === undefined || perUnit === undefined ? null : Number(digits) * perUnit;
}

/** A comma-separated list of codings, without weights. */
export function codings(header: string | undefined): string[] {
  const named = (header ?? "").split(",").map((one) => one.split(";")[0]?.trim().toLowerCase() ?? "");
  return named.filter((one) => one !== "" && one !== "identity");
}
