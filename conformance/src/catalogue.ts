/** All cases, by family, in the order in which they are listed and run. */
import { type Case, toolOf } from "./case.ts";
import { goaways, drops, streamResets } from "./families/breaks.ts";
import { compression } from "./families/compression.ts";
import { contentTypes } from "./families/content-type.ts";
import { grpcControls } from "./families/controls-grpc.ts";
import { httpControls } from "./families/controls-http.ts";
import { controls } from "./families/controls.ts";
import { decisionCases } from "./families/decision.ts";
import { echoCases } from "./families/echo.ts";
import { connectionCases, tlsCases } from "./families/endpoints.ts";
import { framing } from "./families/framing.ts";
import { http1Cases } from "./families/http1.ts";
import { http2Frames } from "./families/http2-frames.ts";
import { http2Headers } from "./families/http2-headers.ts";
import { httpStatuses } from "./families/http-status.ts";
import { jsonDocuments } from "./families/json-documents.ts";
import { jsonNames } from "./families/json-names.ts";
import { jsonValues } from "./families/json-values.ts";
import { messages } from "./families/messages.ts";
import { agreement } from "./families/reasons.ts";
import { repeated } from "./families/repeated.ts";
import { slowCases } from "./families/slow.ts";
import { bitFlips, truncations } from "./families/spoiled.ts";
import { starts } from "./families/starts.ts";
import { statuses } from "./families/statuses.ts";
import { trailerCases } from "./families/trailers.ts";
import { wireTypes } from "./families/wire-types.ts";

/** All cases, by family, in the order in which they run. */
export const CASES: readonly Case[] = [
  ...controls,
  ...grpcControls,
  ...httpControls,
  ...decisionCases,
  ...wireTypes,
  ...repeated,
  ...messages,
  ...agreement,
  ...echoCases,
  ...jsonValues,
  ...jsonNames,
  ...jsonDocuments,
  ...framing,
  ...trailerCases,
  ...statuses,
  ...httpStatuses,
  ...contentTypes,
  ...http1Cases,
  ...http2Headers,
  ...http2Frames,
  ...streamResets,
  ...goaways,
  ...drops,
  ...tlsCases,
  ...connectionCases,
  ...slowCases,
  ...compression,
  ...truncations,
  ...bitFlips,
  ...starts,
];

/** A client selects a case of BeginExecution by the decision that it starts. */
export function decisionOf(one: Case): string {
  return `c0de0000-0000-7000-8000-${CASES.indexOf(one).toString(16).padStart(12, "0")}`;
}

const byTool = new Map(CASES.map((one) => [toolOf(one.name), one]));

/** The case that a request for `tool` selects. */
export function caseOfTool(tool: string): Case | undefined {
  return byTool.get(tool);
}

const byDecision = new Map(
  CASES.filter(({ method }) => method === "BeginExecution").map((one) => [decisionOf(one), one]),
);

/** The case that a start of the decision selects. */
export function caseOfDecision(decisionId: string): Case | undefined {
  return byDecision.get(decisionId);
}

/** A case as `list --json` prints it: plain data, which any language can read. */
export interface ListedCase {
  readonly name: string;
  readonly family: string;
  readonly method: string;
  readonly says: string;
  readonly tool: string;
  readonly transports: readonly string[];
  readonly endpoint: string;
  readonly level: string;
  readonly verdict: string;
  readonly reasons: readonly string[];
}

export function listed(one: Case): ListedCase {
  const { name, family, method, says, transports, endpoint, level, verdict, reasons } = one;
  return { name, family, method, says, tool: toolOf(name), transports, endpoint, level, verdict, reasons };
}
