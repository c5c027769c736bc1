import type { AccessChange, AccessChangeKind } from "../audit/seal/change-list.ts";
import type { Micros } from "../core/clock.ts";
import { ROLES, type Role } from "../authn/role.ts";

/**
 * What becomes of a change that a rolled back database has lost. `reapplied`: it took a right away, and the service does it again.
 * `locked`: of a credential that was replaced the old one is back, so the account gets a password that nobody knows. `voided`: the
 * service ends every grant. `lost`: it gave a right, or took back what did; a person does it again if it is still wanted.
 */
export type Remedy = "reapplied" | "locked" | "voided" | "lost";

/** What the service does to take away again what was taken away. */
export type Step =
  | { readonly kind: "revoke_agent"; readonly agentId: string }
  | { readonly kind: "revoke_key"; readonly agentId: string; readonly keyId: string }
  | { readonly kind: "freeze_agent"; readonly agentId: string }
  | { readonly kind: "force_open"; readonly agentId: string; readonly expiresAt: Micros | null }
  | { readonly kind: "remove_operator"; readonly name: string }
  | { readonly kind: "lower_role"; readonly name: string; readonly role: Role }
  | { readonly kind: "lock_operator"; readonly name: string }
  | { readonly kind: "withdraw_approval"; readonly reviewId: string; readonly name: string };

const REMEDIES: Readonly<Record<AccessChangeKind, Remedy>> = {
  "agent.created": "lost",
  "agent.key_created": "lost",
  "agent.key_revoked": "reapplied",
  "agent.revoked": "reapplied",
  "agent.frozen": "reapplied",
  "agent.unfrozen": "lost",
  "operator.added": "lost",
  "operator.removed": "reapplied",
  "operator.role_set": "reapplied",
  "operator.password_set": "locked",
  "operator.totp_enabled": "locked",
  "operator.totp_disabled": "lost",
  "bypass.set": "voided",
  "bypass.cleared": "voided",
  "circuit.forced_open": "reapplied",
  "circuit.reset": "lost",
  "review.withdrawn": "reapplied",
};

/** `lost` for a kind that this version does not know: a person has to look. */
export function remedyOf(kind: string): Remedy {
  return Object.hasOwn(REMEDIES, kind) ? REMEDIES[kind as AccessChangeKind] : "lost";
}

/**
 * The steps for the changes that are lost, in the order in which they were made. Of changes that undo one another only the last
 * counts: who was frozen and unfrozen since stays as the database has it.
 */
export function stepsFor(lost: readonly AccessChange[]): Step[] {
  const steps = new Map<string, Step>();
  for (const change of lost) {
    const { kind, subject } = change;
    if (kind === "agent.unfrozen") steps.delete(`freeze_agent ${subject}`);
    if (kind === "circuit.reset") steps.delete(`force_open ${subject}`);
    const step = stepFor(change);
    if (step === null) continue;
    const what = step.kind === "revoke_key" ? step.keyId : "";
    steps.set(`${step.kind} ${subject} ${what}`.trimEnd(), step);
  }
  return [...steps.values()];
}

function stepFor({ kind, subject, actor, detail }: AccessChange): Step | null {
  const make = Object.hasOwn(STEPS, kind) ? STEPS[kind as AccessChangeKind] : undefined;
  if (make === undefined || subject === null) return null;
  return make(subject, JSON.parse(detail) as Facts, actor);
}

/** An event's detail. */
type Facts = Readonly<Record<string, unknown>>;

const STEPS: Readonly<
  Partial<Record<AccessChangeKind, (subject: string, facts: Facts, actor: string) => Step | null>>
> = {
  "agent.revoked": (agentId) => ({ kind: "revoke_agent", agentId }),
  "agent.key_revoked": (agentId, facts) => ({ kind: "revoke_key", agentId, keyId: String(facts["keyId"]) }),
  "agent.frozen": (agentId) => ({ kind: "freeze_agent", agentId }),
  "circuit.forced_open": (agentId, facts) => {
    const expiresAt = facts["expiresAtUs"];
    return { kind: "force_open", agentId, expiresAt: typeof expiresAt === "number" ? expiresAt : null };
  },
  "operator.removed": (name) => ({ kind: "remove_operator", name }),
  "operator.role_set": (name, facts) => {
    const role = ROLES.find((known) => known === facts["role"]);
    return role === undefined ? null : { kind: "lower_role", name, role };
  },
  "operator.password_set": (name) => ({ kind: "lock_operator", name }),
  "operator.totp_enabled": (name) => ({ kind: "lock_operator", name }),
  "review.withdrawn": (reviewId, _, actor) => {
    return { kind: "withdraw_approval", reviewId, name: actor.replace(/^operator:/, "") };
  },
};
