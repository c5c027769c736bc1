import { create } from "@bufbuild/protobuf";
import {
  type Review as ReviewMessage,
  ReviewSchema,
  ReviewState as WireState,
  ReviewVerdict,
} from "@datacrawl/proto/datacrawl/authz/v1/reviews_pb";
import type { ReviewOperations } from "../../admin/reviews.ts";
import { Fault } from "../../core/fault.ts";
import type { Review, ReviewState } from "../../review/review.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";

type ReviewMethods = Pick<
  AdminMethods,
  "listReviews" | "getReview" | "approveReview" | "rejectReview" | "withdrawApproval"
>;

export function reviewMethods(operations: ReviewOperations): ReviewMethods {
  return {
    async listReviews({ state, agentId, tool, pageSize, pageToken }) {
      const query = { state: stateOf(state), agentId: agentId || null, tool: tool || null };
      const { reviews, nextPageToken } = await operations.list(query, pageToken, pageLimit(pageSize));
      return { reviews: reviews.map(reviewMessage), nextPageToken };
    },
    async getReview({ reviewId }) {
      const { review, payload } = await operations.get(reviewId);
      return { review: reviewMessage(review), ...(payload !== null && { payload }) };
    },
    async approveReview({ reviewId, comment }, { caller }) {
      return { review: reviewMessage(await operations.answer(reviewId, "approved", comment, caller)) };
    },
    async rejectReview({ reviewId, comment }, { caller }) {
      return { review: reviewMessage(await operations.answer(reviewId, "rejected", comment, caller)) };
    },
    async withdrawApproval({ reviewId, comment }, { caller }) {
      return { review: reviewMessage(await operations.withdraw(reviewId, comment, caller)) };
    },
  };
}

const STATE: Readonly<Record<ReviewState, WireState>> = {
  open: WireState.OPEN,
  approved: WireState.APPROVED,
  rejected: WireState.REJECTED,
  expired: WireState.EXPIRED,
  lapsed: WireState.LAPSED,
  void: WireState.VOID,
  withdrawn: WireState.WITHDRAWN,
};
const VERDICT = { approved: ReviewVerdict.APPROVED, rejected: ReviewVerdict.REJECTED } as const;

/** Null for every state. @throws Fault FIELD_INVALID */
function stateOf(wire: WireState): ReviewState | null {
  if (wire === WireState.UNSPECIFIED) return null;
  for (const [state, number] of Object.entries(STATE)) if (number === wire) return state as ReviewState;
  throw new Fault("FIELD_INVALID", `state ${wire} is not a state of a review.`, { field: "state" });
}

function reviewMessage(review: Review): ReviewMessage {
  const {
    requestDigest,
    payloadDigest,
    ruleId,
    resolutionId,
    resolvedAt,
    approvalExpiresAt,
    firstAllowedAt,
    withdrawal,
  } = review;
  const { reviewId, decisionId, agentId, tool, idempotencyKey, policyVersion } = review;
  return create(ReviewSchema, {
    reviewId,
    decisionId,
    agentId,
    tool,
    idempotencyKey,
    policyVersion,
    ruleId: ruleId ?? "",
    requestDigest: new Uint8Array(requestDigest),
    payloadDigest: new Uint8Array(payloadDigest),
    approvers: review.terms.approvers,
    state: STATE[review.state],
    answers: review.answers.map(({ by, answer, comment, at }) => ({
      operator: by,
      verdict: VERDICT[answer],
      comment,
      answeredAt: timestampOf(at),
    })),
    openedAt: timestampOf(review.openedAt),
    expiresAt: timestampOf(review.expiresAt),
    resolutionId: resolutionId ?? "",
    ...(resolvedAt !== null && { resolvedAt: timestampOf(resolvedAt) }),
    ...(approvalExpiresAt !== null && { approvalExpiresAt: timestampOf(approvalExpiresAt) }),
    ...(firstAllowedAt !== null && { firstAllowedAt: timestampOf(firstAllowedAt) }),
    ...(withdrawal !== null && {
      withdrawal: {
        operator: withdrawal.by,
        comment: withdrawal.comment,
        withdrawnAt: timestampOf(withdrawal.at),
      },
    }),
  });
}
