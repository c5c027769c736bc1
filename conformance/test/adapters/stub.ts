import { type AuthorizeResponse } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { Heard } from "./lines.ts";

/** What a caller of a bare stub does with an answer: an equality with ALLOW, and nothing else. */
export function decisionOf(response: AuthorizeResponse): Heard {
  if (response.decision === Decision.ALLOW) return { decision: "allow" };
  return { decision: response.decision === Decision.NEEDS_REVIEW ? "needs_review" : "deny" };
}
