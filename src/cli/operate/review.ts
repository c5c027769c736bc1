import { Command, InvalidArgumentError } from "commander";
import {
  type Review,
  type ReviewAnswer,
  ReviewState,
  ReviewStateSchema,
  ReviewVerdictSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/reviews_pb";
import { withAdmin } from "../admin-client.ts";
import type { Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { pagesUpTo } from "../pages.ts";
import { parseLimit } from "../parse.ts";
import { formerly } from "../former-flag.ts";
import { timeText } from "../timestamp-text.ts";

interface ListFlags {
  readonly state?: ReviewState;
  readonly agent?: string;
  readonly tool?: string;
  readonly limit: number;
  readonly all?: true;
  readonly json?: true;
}

interface AnswerFlags {
  readonly reason: string;
  readonly json?: true;
}

const STATES = ["open", "approved", "rejected", "expired", "lapsed", "void", "withdrawn"] as const;

/** `datacrawl review list|show|approve|reject|withdraw`. */
export function reviewCommand(io: Io): Command {
  const command = new Command("review");

  command
    .command("list")
    .description("List reviews, newest first.")
    .option("--state <state>", `only those that are ${STATES.join(", ")}`, parseState)
    .option("--agent <id>", "only this agent's")
    .option("--tool <name>", "only this tool's")
    .option("--limit <n>", "how many at most", parseLimit, 100)
    .option("--all", "all of them")
    .option("--json", "print a list of reviews")
    .action(async (flags: ListFlags) => {
      const filter = { state: flags.state ?? 0, agentId: flags.agent ?? "", tool: flags.tool ?? "" };
      const { items: reviews, more } = await withAdmin(io, (admin) =>
        pagesUpTo(
          flags.all ? Number.POSITIVE_INFINITY : flags.limit,
          (page) => admin.listReviews({ ...filter, ...page }),
          (listed) => listed.reviews,
        ),
      );
      if (more) io.err(`There are more than these ${reviews.length}: --limit, or --all.\n`);
      if (flags.json) return outJson(io, reviews.map(jsonOf));
      const rows = reviews.map((review) => [
        review.reviewId,
        stateOf(review),
        review.agentId,
        review.tool,
        approvalsOf(review),
        timeText(review.openedAt),
        timeText(review.expiresAt),
      ]);
      outTable(io, ["REVIEW", "STATE", "AGENT", "TOOL", "APPROVALS", "OPENED", "EXPIRES"], rows);
    });

  command
    .command("show")
    .description("Show a review with the payload as it was judged.")
    .argument("<review-id>")
    .option("--json", "print the review")
    .action(async (reviewId: string, flags: { readonly json?: true }) => {
      const { review, payload } = await withAdmin(io, (admin) => admin.getReview({ reviewId }));
      if (review === undefined) return;
      if (flags.json)
        return outJson(io, { ...jsonOf(review), payload: payload === undefined ? null : JSON.parse(payload) });
      describe(io, review, payload);
    });

  for (const verb of ["approve", "reject"] as const) {
    const answering = command
      .command(verb)
      .description(verb === "approve" ? "Approve the call under review." : "Reject the call under review.")
      .argument("<review-id>")
      .requiredOption("--reason <text>", "why, for the audit trail")
      .option("--json", "print the review")
      .addHelpText("after", "\nNeeds a named person of role reviewer, who is not the agent.")
      .action(async (reviewId: string, flags: AnswerFlags) => {
        const answer = { reviewId, comment: flags.reason };
        const { review } = await withAdmin<{ review?: Review | undefined }>(io, (admin) =>
          verb === "approve" ? admin.approveReview(answer) : admin.rejectReview(answer),
        );
        if (review === undefined) return;
        if (flags.json) return outJson(io, jsonOf(review));
        io.out(`The review ${review.reviewId} is ${stateOf(review)} (${approvalsOf(review)} approvals).\n`);
      });
    formerly(answering, "--comment <text>", "--reason");
  }

  command
    .command("withdraw")
    .description("Withdraw your own approval: the call is denied from then on.")
    .argument("<review-id>")
    .requiredOption("--reason <text>", "why, for the audit trail")
    .option("--json", "print the review")
    .addHelpText("after", "\nNeeds the person who approved. It says whether the call was allowed before.")
    .action(async (reviewId: string, flags: AnswerFlags) => {
      const { review } = await withAdmin(io, (admin) => admin.withdrawApproval({ reviewId, comment: flags.reason }));
      if (review === undefined) return;
      if (flags.json) return outJson(io, jsonOf(review));
      io.out(`The approval is withdrawn: the call is denied from now on. ${useOf(review)}\n`);
    });
  return command;
}

function describe(io: Io, review: Review, payload: string | undefined): void {
  const facts: [string, string][] = [
    ["review", review.reviewId],
    ["state", stateOf(review)],
    ["agent", review.agentId],
    ["tool", review.tool],
    ["key", review.idempotencyKey],
    ["decision", review.decisionId],
    ["rule", review.ruleId],
    ["policy", review.policyVersion],
    ["approvals", approvalsOf(review)],
    ["opened", timeText(review.openedAt)],
    ["expires", timeText(review.expiresAt)],
    ["resolved", timeText(review.resolvedAt)],
    ["approved until", timeText(review.approvalExpiresAt)],
    ["first allowed", timeText(review.firstAllowedAt)],
  ];
  for (const [name, value] of facts) if (value !== "") io.out(`${name.padEnd(15)} ${printable(value)}\n`);
  for (const { operator, verdict, comment, answeredAt } of review.answers) {
    io.out(`${verdictOf(verdict).padEnd(15)} ${printable(operator)}, ${timeText(answeredAt)}: ${printable(comment)}\n`);
  }
  const { withdrawal } = review;
  if (withdrawal !== undefined) {
    const { operator, comment, withdrawnAt } = withdrawal;
    io.out(`withdrawn       ${printable(operator)}, ${timeText(withdrawnAt)}: ${printable(comment)}\n`);
  }
  if (review.state === ReviewState.EXPIRED && review.answers.length === 0)
    io.out("answers         none: it expired unanswered, and the call is denied\n");
  io.out(payload === undefined ? "payload         erased\n" : `payload\n${readable(payload)}\n`);
}

/** Indented; each line is made harmless for itself, so that a payload's own line breaks stay visible. */
function readable(payload: string): string {
  return JSON.stringify(JSON.parse(payload), null, 2).split("\n").map(printable).join("\n");
}

/** Whether the agent may have acted on an approval that is withdrawn. */
function useOf({ firstAllowedAt }: Review): string {
  return firstAllowedAt === undefined
    ? "It was never answered ALLOW."
    : `It was answered ALLOW, first at ${timeText(firstAllowedAt)}: the agent may have acted on it.`;
}

function parseState(text: string): ReviewState {
  const state = STATES.find((known) => known === text.toLowerCase());
  if (state === undefined) throw new InvalidArgumentError(`Write one of ${STATES.join(", ")}.`);
  return ReviewState[state.toUpperCase() as keyof typeof ReviewState];
}

function stateOf(review: Review): string {
  return wordOf(ReviewStateSchema, review.state).toLowerCase();
}

function verdictOf(verdict: ReviewAnswer["verdict"]): string {
  return wordOf(ReviewVerdictSchema, verdict).toLowerCase();
}

function approvalsOf({ answers, approvers }: Review): string {
  return `${answers.filter(({ verdict }) => verdictOf(verdict) === "approved").length}/${approvers}`;
}

function jsonOf(review: Review): Record<string, unknown> {
  const { reviewId, decisionId, agentId, tool, idempotencyKey, ruleId, policyVersion, approvers } = review;
  return {
    reviewId,
    decisionId,
    agentId,
    tool,
    idempotencyKey,
    ruleId,
    policyVersion,
    approvers,
    state: stateOf(review),
    answers: review.answers.map(({ operator, verdict, comment, answeredAt }) => ({
      operator,
      verdict: verdictOf(verdict),
      comment,
      answeredAt: timeText(answeredAt),
    })),
    openedAt: timeText(review.openedAt),
    expiresAt: timeText(review.expiresAt),
    resolvedAt: timeText(review.resolvedAt) || null,
    resolutionId: review.resolutionId || null,
    approvalExpiresAt: timeText(review.approvalExpiresAt) || null,
    firstAllowedAt: timeText(review.firstAllowedAt) || null,
    withdrawal:
      review.withdrawal === undefined
        ? null
        : {
            operator: review.withdrawal.operator,
            comment: review.withdrawal.comment,
            withdrawnAt: timeText(review.withdrawal.withdrawnAt),
          },
  };
}
