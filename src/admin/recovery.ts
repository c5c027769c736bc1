import type { AccessChange } from "../audit/seal/change-list.ts";
import type { PublishedChanges } from "../audit/seal/change-publisher.ts";
import type { Rollback } from "../audit/seal/keeper.ts";
import type { Micros } from "../core/clock.ts";
import { Fault, type FaultCode } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import type { AccountOperations } from "./accounts.ts";
import type { BypassOperations } from "./bypass.ts";
import { type Caller } from "./caller.ts";
import type { CircuitOperations } from "./circuits.ts";
import type { AdminOperations } from "./operations.ts";
import { type Remedy, remedyOf, type Step, stepsFor } from "./recovery-plan.ts";
import type { ReviewOperations } from "./reviews.ts";
import { ROLES } from "../authn/role.ts";

/** A change that the database has lost, and what becomes of it. */
export interface LostChange {
  readonly change: AccessChange;
  readonly remedy: Remedy;
}

/** What a person has to look at before agents are allowed anything again. */
export interface RecoveryReport {
  readonly rollback: Rollback;
  /** In words. */
  readonly problem: string;
  /** The oldest first. */
  readonly lost: readonly LostChange[];
  /** Why there may be more than these; null if these are all that were published. */
  readonly incomplete: string | null;
}

export interface RecoveryPorts {
  readonly keeper: {
    readonly rollback: Rollback | null;
    readonly problems: readonly string[];
    lostChanges(): Promise<PublishedChanges | null>;
  };
  readonly changes: {
    knownSince(since: Micros): Promise<{ eventId: string; recordedAt: Micros; kind: string; subject: string | null }[]>;
  };
  readonly epochs: {
    /** When the last rollback was acknowledged; 0 if none was. */
    acknowledgedAt(): Promise<Micros>;
  };
  readonly sessions: { endAll(): Promise<void> };
  readonly orders: { live(now: Micros): Promise<{ agentId: string; grantId: string | null }[]> };
  readonly agents: Pick<AdminOperations, "revokeAgent" | "revokeAgentKey" | "freezeAgent">;
  readonly accounts: Pick<AccountOperations, "remove" | "setRole" | "setPassword" | "find">;
  readonly bypass: Pick<BypassOperations, "clear">;
  readonly circuits: Pick<CircuitOperations, "forceOpen">;
  readonly reviews: Pick<ReviewOperations, "withdraw">;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

const ACTOR = "service";
const REASON = "done again: the database was rolled back to before it was done";

/** What says that a step has nothing to do: what it is about came after the backup, or is as it should be. */
const NOTHING_TO_DO: ReadonlySet<FaultCode> = new Set<FaultCode>([
  "AGENT_UNKNOWN",
  "AGENT_KEY_UNKNOWN",
  "AGENT_REVOKED",
  "OPERATOR_UNKNOWN",
  "REVIEW_UNKNOWN",
  "REVIEW_CLOSED",
]);

/**
 * The service is in recovery from when it notices that the database was rolled back until a person acknowledges it: it allows
 * nothing, because it does not know which agents were revoked. Rights that are known to have been removed are removed again at once.
 */
export class Recovery {
  readonly #ports: RecoveryPorts;
  /** When this process noticed the rollback that it knows of; 0 before. */
  #noticedAt: Micros = 0;
  #acknowledgedAt: Micros = 0;
  /** The checkpoint that the database lacks, of the rollback that was repaired. */
  #repaired: string | null = null;

  constructor(ports: RecoveryPorts) {
    this.#ports = ports;
  }

  get isActive(): boolean {
    return this.#ports.keeper.rollback !== null;
  }

  /** @throws Fault IN_RECOVERY */
  check(): void {
    if (this.isActive)
      throw new Fault(
        "IN_RECOVERY",
        "The service is in recovery after its database was rolled back: it allows nothing until an operator acknowledges the rollback.",
      );
  }

  /** Circuit-bypass orders that were issued before this are void: the database may not know what came after them. */
  get ordersVoidBefore(): Micros {
    return Math.max(this.#noticedAt, this.#acknowledgedAt);
  }

  /** Notices a rollback that is new, and repairs what can be repaired. To be called now and then. @throws what kept it from that */
  async turn(): Promise<void> {
    const { keeper, epochs, now } = this.#ports;
    this.#acknowledgedAt = await epochs.acknowledgedAt();
    const note = keeper.rollback?.outside.note ?? null;
    if (note === null || note === this.#repaired) return;
    this.#noticedAt = now();
    await this.repair();
    this.#repaired = note;
  }

  /** Null while the service is not in recovery. */
  async report(): Promise<RecoveryReport | null> {
    const { keeper } = this.#ports;
    const published = await keeper.lostChanges();
    const { rollback } = keeper;
    if (rollback === null || published === null) return null;
    const { lost } = await this.#lost(published);
    return {
      rollback,
      problem: keeper.problems[0] ?? "",
      lost: lost.map((change) => ({ change, remedy: remedyOf(change.kind) })),
      incomplete: published.incomplete,
    };
  }

  /**
   * Ends all sessions of operators and all grants, and does again what is known to have taken rights away. Each change is an event.
   * Doing it twice changes nothing, and does not undo what a person did in between.
   *
   * @throws what kept it from any of that
   */
  async repair(): Promise<void> {
    const { keeper, sessions, orders, bypass, now } = this.#ports;
    const published = await keeper.lostChanges();
    if (published === null) return;
    await sessions.endAll();
    for (const { agentId, grantId } of await orders.live(now()))
      if (grantId !== null) await bypass.clear(agentId, "the database was rolled back", ACTOR);
    const { lost, isDoneSince } = await this.#lost(published);
    for (const step of stepsFor(lost)) if (!isDoneSince(step)) await this.#take(step);
  }

  /** What of the published changes the database does not have, and whether something was done about it since. */
  async #lost({ changes }: PublishedChanges) {
    const since = Math.min(...changes.map(({ recordedAt }) => recordedAt));
    const known = changes.length === 0 ? [] : await this.#ports.changes.knownSince(since);
    const ids = new Set(known.map(({ eventId }) => eventId));
    const lost = changes.filter(({ eventId }) => !ids.has(eventId));
    const published = new Set(changes.map(({ eventId }) => eventId));
    const later = known.filter(({ eventId }) => !published.has(eventId));
    // Revoking is harmless to repeat; and of an agent's keys one may be revoked since, and the other not.
    const isDoneSince = (step: Step): boolean =>
      step.kind !== "revoke_key" &&
      later.some(({ kind, subject }) => kind === EVENT_OF[step.kind] && subject === subjectOf(step));
    return { lost, isDoneSince };
  }

  async #take(step: Step): Promise<void> {
    try {
      await this.#do(step);
    } catch (error) {
      if (!(error instanceof Fault && NOTHING_TO_DO.has(error.code))) throw error;
    }
  }

  async #do(step: Step): Promise<unknown> {
    const { agents, accounts, circuits, reviews, random, now } = this.#ports;
    switch (step.kind) {
      case "revoke_agent":
        return await agents.revokeAgent(step.agentId, ACTOR);
      case "revoke_key":
        return await agents.revokeAgentKey(step.agentId, step.keyId, ACTOR);
      case "freeze_agent":
        return await agents.freezeAgent(step.agentId, REASON, ACTOR);
      case "force_open": {
        const left = step.expiresAt === null ? null : step.expiresAt - now();
        return left !== null && left <= 0 ? null : await circuits.forceOpen(step.agentId, REASON, left, ACTOR);
      }
      case "remove_operator":
        return await accounts.remove(step.name, ACTOR);
      case "lower_role": {
        const account = await accounts.find(step.name);
        const isLower = account !== null && ROLES.indexOf(step.role) < ROLES.indexOf(account.role);
        return isLower ? await accounts.setRole(step.name, step.role, ACTOR) : null;
      }
      case "lock_operator":
        // Nobody knows it. On the host `datacrawl operator set-password` gives the account another one.
        return await accounts.setPassword(step.name, random.take(32).toString("base64url"), ACTOR);
      case "withdraw_approval": {
        const who: Caller = { kind: "operator", name: step.name, role: "reviewer", signedInAt: now(), methods: [] };
        return await reviews.withdraw(step.reviewId, REASON, who);
      }
    }
  }
}

const EVENT_OF: Readonly<Record<Step["kind"], string>> = {
  revoke_agent: "agent.revoked",
  revoke_key: "agent.key_revoked",
  freeze_agent: "agent.frozen",
  force_open: "circuit.forced_open",
  remove_operator: "operator.removed",
  lower_role: "operator.role_set",
  lock_operator: "operator.password_set",
  withdraw_approval: "review.withdrawn",
};

function subjectOf(step: Step): string {
  if ("agentId" in step) return step.agentId;
  return "reviewId" in step ? step.reviewId : step.name;
}
