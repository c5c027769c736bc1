import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type DecisionExplanationSchema,
  type RuleFindingSchema,
  RuleOutcome,
  type RuleTextSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/policies_pb";
import type { PageTokens } from "../../admin/page-tokens.ts";
import type { Explanation, PolicyOperations } from "../../admin/policies.ts";
import { invalid } from "../../admin/checks.ts";
import { claimProblem } from "../../core/request.ts";
import type { FindingView, RuleView } from "../../policy/rule-view.ts";
import { timestampOf } from "../codec/timestamp.ts";
import { DECISION, REASON } from "./decision-messages.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";

type PolicyMethods = Pick<AdminMethods, "getPolicies" | "listPolicyVersions" | "testPolicy">;

export function policyMethods(policies: PolicyOperations, pages: PageTokens): PolicyMethods {
  return {
    async getPolicies({ version }) {
      const { firstSeen, files, rules, ...same } = await policies.view(version);
      return {
        ...same,
        files: [...files],
        rules: rules.map(ruleMessage),
        ...(firstSeen === null ? {} : { firstSeen: timestampOf(firstSeen) }),
      };
    },
    async listPolicyVersions({ pageSize, pageToken }) {
      const before = pages.open(pageToken, "policies") as number | null;
      const { versions, more } = await policies.versions(before, pageLimit(pageSize));
      const last = more ? versions.at(-1) : undefined;
      return {
        versions: versions.map(({ firstSeen, ...same }) => ({ ...same, firstSeen: timestampOf(firstSeen) })),
        nextPageToken: pages.next(last?.firstSeen, "policies"),
      };
    },
    async testPolicy({ files, version, agentId, tool, payload, principal = null }) {
      const problem = principal === null ? null : claimProblem(principal);
      if (problem !== null) throw invalid("principal", problem);
      const request = { agentId, tool, payload: payload ?? {}, principal };
      const tried = await policies.try({ files: files.map(({ name, text }) => ({ name, text })), version, request });
      if ("problems" in tried) return { problems: [...tried.problems] };
      const { judgement, version: policyVersion, findings } = tried.trial;
      return {
        decision: DECISION[judgement.decision],
        reason: REASON[judgement.reason],
        message: judgement.message,
        ruleId: judgement.ruleId ?? "",
        policyVersion,
        findings: findings.map(findingMessage),
      };
    },
  };
}

export function explanationMessage({
  rule,
  findings,
  unavailable,
}: Explanation): MessageInitShape<typeof DecisionExplanationSchema> {
  return {
    ...(rule === null ? {} : { rule: ruleMessage(rule) }),
    findings: findings.map(findingMessage),
    unavailable,
  };
}

const OUTCOME = {
  matched: RuleOutcome.MATCHED,
  not_matched: RuleOutcome.NOT_MATCHED,
  error: RuleOutcome.ERROR,
  other_agents: RuleOutcome.OTHER_AGENTS,
} as const satisfies Record<FindingView["outcome"], RuleOutcome>;

function findingMessage({ rule, outcome, error, values }: FindingView): MessageInitShape<typeof RuleFindingSchema> {
  return {
    rule: ruleMessage(rule),
    outcome: OUTCOME[outcome],
    error,
    values: values.map(({ path, value }) => (value === null ? { path } : { path, value })),
  };
}

function ruleMessage(rule: RuleView): MessageInitShape<typeof RuleTextSchema> {
  return { ...rule, tools: [...rule.tools], agents: [...rule.agents], exceptAgents: [...rule.exceptAgents] };
}
