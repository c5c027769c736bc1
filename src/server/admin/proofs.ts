import type { ProofOperations } from "../../admin/proofs.ts";
import { formatConsistencyProof, formatDecisionProof } from "../../audit/proof/proof.ts";
import type { AdminMethods } from "./methods.ts";

export function proofMethods(proofs: ProofOperations): Pick<AdminMethods, "proveDecision" | "proveConsistency"> {
  return {
    async proveDecision({ decisionId, includePayload }) {
      return { proof: fileOf(formatDecisionProof(await proofs.proveDecision(decisionId, includePayload))) };
    },
    async proveConsistency({ first, second }) {
      return { proof: fileOf(formatConsistencyProof(await proofs.proveConsistency(first, second))) };
    },
  };
}

function fileOf(proof: object): string {
  return `${JSON.stringify(proof, null, 2)}\n`;
}
