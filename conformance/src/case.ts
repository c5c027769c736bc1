/**
 * What a case is. A case is one way of answering Authorize, good or bad, with the one verdict that is right for it.
 *
 * INVARIANT: verdicts are written down by a person in `families/`. Nothing here decodes an answer to find out what it
 * means: a decoder's mistake would then agree with itself. (The idea of a hostile server with a table of named cases:
 * after gRPC's interop `http2` tests and Connect's conformance suite.)
 */
import type { Decision, Reason } from "@datacrawl/core/decision";
import type { AnswerFields } from "./answer.ts";
import type { H2Stream } from "./frames.ts";
import type { HttpAnswer } from "./http1.ts";
import type { Question } from "./question.ts";
import type { Step } from "./script.ts";

/** How a client asks: gRPC over HTTP/2, or the Connect protocol over HTTP/1.1 with either codec. */
export const TRANSPORTS = ["grpc", "connect-proto", "connect-json"] as const;
/** One of {@link TRANSPORTS}. */
export type Transport = (typeof TRANSPORTS)[number];

/**
 * Who must already be right. `stub`: a bare generated stub whose caller acts only on DECISION_ALLOW, since the published
 * protocols make anything else an error. `guard`: the protocols permit a lenient reading, and only a guard refuses it.
 */
export const LEVELS = ["stub", "guard"] as const;
export type Level = (typeof LEVELS)[number];

/** The address that a case is asked at: `main`, or a listener that goes wrong before a request can be read. */
export type EndpointName = string;

/** The call whose answers go wrong. */
export const METHODS = ["Authorize", "BeginExecution"] as const;
export type Method = (typeof METHODS)[number];

/** Why a client does not act: a verdict's reason, or what a start came to. */
export type CaseReason = Reason | "ALREADY_STARTED" | "NOT_ALLOWED";

export type Answer =
  /** An answer with these fields, in whichever codec was asked for. */
  | { readonly kind: "fields"; readonly fields: (q: Question) => AnswerFields }
  /** A message in these bytes, in a right protobuf envelope. */
  | { readonly kind: "proto"; readonly bytes: (q: Question) => Uint8Array }
  /** A message in this text, in a right JSON envelope. */
  | { readonly kind: "json"; readonly text: (q: Question) => string | Uint8Array }
  /** These HTTP/2 frames. */
  | { readonly kind: "grpc"; readonly script: (q: Question, h2: H2Stream) => Iterable<Step> }
  /** These HTTP/1.1 bytes. */
  | { readonly kind: "http"; readonly script: (q: Question, http: HttpAnswer) => Iterable<Step> };

/** One way to answer Authorize, right or wrong, with the one verdict that is right for it. */
export interface Case {
  /** `<family>.<what>`, `[a-z0-9.-]`, unique. */
  readonly name: string;
  /** The part of its name before the first dot. */
  readonly family: string;
  /** A case of BeginExecution has the verdict allow where the client may run the tool, else deny. */
  readonly method: Method;
  /** What the server does, as a sentence. */
  readonly says: string;
  /** The transports that can be answered so. */
  readonly transports: readonly Transport[];
  /** The address to ask at, a name of the server's directory. */
  readonly endpoint: EndpointName;
  /** Whether a bare stub must already be right, or only a guard. */
  readonly level: Level;
  /** What a client must decide. */
  readonly verdict: Decision;
  /** The reasons that a guard may give, without prefix; empty where more than one reading is defensible. */
  readonly reasons: readonly CaseReason[];
  /** What the server sends. */
  readonly answer: Answer;
}

/** A client selects a case by asking about the tool of this name. */
export function toolOf(name: string): string {
  return TOOL_PREFIX + name;
}
export const TOOL_PREFIX = "conformance.";

/** Reasons as guards give them, named by what went wrong. */
export const MALFORMED: readonly CaseReason[] = ["MALFORMED_RESPONSE"];
export const DOWN: readonly CaseReason[] = ["SERVICE_UNAVAILABLE"];
/** The answer broke off: whether that is malformed or unavailable is a matter of taste. */
export const BROKEN: readonly CaseReason[] = ["MALFORMED_RESPONSE", "SERVICE_UNAVAILABLE"];
export const LATE: readonly CaseReason[] = ["DEADLINE_EXCEEDED"];
/** Nobody answered; a client that gives up early says unavailable. */
export const SILENT: readonly CaseReason[] = ["DEADLINE_EXCEEDED", "SERVICE_UNAVAILABLE"];
export const REFUSED: readonly CaseReason[] = ["REQUEST_REFUSED"];
export const ANY: readonly CaseReason[] = [];

/** Which transports can hear an answer of each kind. */
const HEARD_BY = {
  fields: TRANSPORTS,
  proto: ["grpc", "connect-proto"],
  json: ["connect-json"],
  grpc: ["grpc"],
  http: ["connect-proto", "connect-json"],
} as const satisfies Record<Answer["kind"], readonly Transport[]>;

export interface Placement {
  readonly endpoint?: EndpointName;
  readonly transports?: readonly Transport[];
}

type Add = (what: string, says: string, answer: Answer, reasons: readonly CaseReason[], at?: Placement) => void;

/** Collects the cases of one family: `stub` and `guard` deny, at that level; the others are controls. */
export interface Family {
  readonly cases: Case[];
  readonly stub: Add;
  readonly guard: Add;
  readonly allow: (what: string, says: string, answer: Answer, at?: Placement) => void;
  /** A well-formed answer that is not an allow. */
  readonly answered: (
    what: string,
    verdict: Decision,
    says: string,
    answer: Answer,
    reasons: readonly CaseReason[],
  ) => void;
}

export function family(name: string, method: Method = "Authorize"): Family {
  const cases: Case[] = [];
  const add = (level: Level, verdict: Decision): Add => {
    return (what, says, answer, reasons, at = {}) => {
      const { endpoint = "main", transports = HEARD_BY[answer.kind] } = at;
      cases.push({
        name: `${name}.${what}`,
        family: name,
        method,
        says,
        transports,
        endpoint,
        level,
        verdict,
        reasons,
        answer,
      });
    };
  };
  return {
    cases,
    stub: add("stub", "deny"),
    guard: add("guard", "deny"),
    allow: (what, says, answer, at) => add("stub", "allow")(what, says, answer, ANY, at),
    answered: (what, verdict, says, answer, reasons) => add("stub", verdict)(what, says, answer, reasons),
  };
}

export const fields = (make: (q: Question) => AnswerFields): Answer => ({ kind: "fields", fields: make });
export const proto = (make: (q: Question) => Uint8Array): Answer => ({ kind: "proto", bytes: make });
export const json = (make: (q: Question) => string | Uint8Array): Answer => ({ kind: "json", text: make });
export const grpc = (script: (q: Question, h2: H2Stream) => Iterable<Step>): Answer => ({ kind: "grpc", script });
export const http = (script: (q: Question, http: HttpAnswer) => Iterable<Step>): Answer => ({ kind: "http", script });
