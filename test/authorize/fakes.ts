import { createAuthorize } from "../../src/authorize/authorize.ts";
import type { Answer, Call } from "../../src/authorize/call.ts";
import type { RefusedCall } from "../../src/authorize/frame.ts";
import type { UnverifiedRequest } from "../../src/core/request.ts";
import type { Entry, Written } from "../../src/audit/write/writer.ts";
import type { AgentState, AuthenticatedAgent } from "../../src/authn/directory.ts";
import { type Judgement, judge, type Reason } from "../../src/core/decision.ts";
import { Fault, StoreError } from "../../src/core/fault.ts";
import { deriveDigestKeys, digestRequest } from "../../src/idempotency/key.ts";
import { type Claim, FIRST } from "../../src/idempotency/ledger.ts";
import { RandomPool, uuidV7 } from "../../src/core/ids.ts";
import { parseRedactPath } from "../../src/policy/redact-path.ts";
import { Redaction } from "../../src/policy/redaction.ts";
import { canonicalJson } from "../../src/core/canonical-json.ts";

export const AGENT = "billing-1";
export const CREDENTIAL = "Bearer dc_agent_billing-1";
export const KEY = "refund-17";
export const POLICY_VERSION = "sha256:current";
export const NONCE = Buffer.alloc(16, 7);
/** The store's time when a test begins, in microseconds. */
export const STORE_TIME = 1_770_000_000_000_000;

export const keys = deriveDigestKeys(Buffer.alloc(32, 3));
export const random = new RandomPool();

/** What a database that cannot be reached rejects with. */
export class Outage extends StoreError {
  readonly isOutage = true;
  readonly quotesValues = false;
}

/** Which agent calls, and what is known of it. */
export class FakeAgents {
  /** What the process knows without asking. */
  known: AgentState = "active";
  /** What the store says when it is asked; "unknown" if it does not answer. */
  confirmed: AgentState | "unknown" = "active";
  /** How often a state was confirmed. */
  confirmations = 0;
  /** Credentials that are not accepted any more. */
  readonly revoked = new Set<string>();

  async authenticate({ authorization }: { readonly authorization: string | undefined }): Promise<AuthenticatedAgent> {
    if (authorization === undefined) throw new Fault("CREDENTIAL_MISSING", "No credential.");
    if (authorization !== CREDENTIAL || this.revoked.has(authorization))
      throw new Fault("CREDENTIAL_UNKNOWN", "The credential is not known.");
    return { agentId: AGENT, keyId: "key-1" };
  }

  stateOf(): AgentState {
    return this.known;
  }

  async confirmedStateOf(): Promise<AgentState> {
    this.confirmations++;
    if (this.confirmed === "unknown") throw new Fault("STORE_UNAVAILABLE", "The agent's state cannot be confirmed.");
    this.known = this.confirmed;
    return this.confirmed;
  }

  set state(state: AgentState) {
    this.known = state;
    this.confirmed = state;
  }
}

/** What comes of one attempt to record: as the store finds it, lost whatever the store holds, or an error. */
type Attempt = "lost" | Error | ((entry: Entry) => void | Promise<void>);

/** The rows and claims of one store, as the writer and the ledger see them. */
export class FakeStore {
  readonly rows: Entry[] = [];
  readonly claims = new Map<string, Claim>();
  /** For the next attempts to record, in their order. Those after them go as the store finds it. */
  readonly attempts: Attempt[] = [];
  /** As after a connection that was lost in mid-commit: the row is there, and when its claim ends is not known. */
  forgetful = false;
  /** What reading a claim rejects with. */
  unreadable: Error | null = null;
  /** How often a claim was looked up. */
  reads = 0;

  async record(entry: Entry, _deadline: { readonly at: number }): Promise<Written | null> {
    const attempt = this.attempts.shift();
    if (attempt === "lost") return null;
    if (attempt instanceof Error) throw attempt;
    await attempt?.(entry);
    if (entry.claim === null) {
      this.rows.push(entry);
      return { claimExpiresAt: null };
    }
    const name = nameOf(entry.row.idempotencyKey, entry.claim.variant);
    if (this.claims.has(name)) return null;
    this.rows.push(entry);
    const { row } = entry;
    this.claims.set(
      name,
      claim({ ...row, policyVersion: row.policyVersion ?? "", requestDigest: row.requestDigest as Uint8Array }),
    );
    return { claimExpiresAt: this.forgetful ? null : row.recordedAt + DAY };
  }

  async findClaim(_agentId: string, idempotencyKey: string, variant: Uint8Array): Promise<Claim | null> {
    this.reads++;
    if (this.unreadable !== null) throw this.unreadable;
    return this.claims.get(nameOf(idempotencyKey, variant)) ?? null;
  }

  /** The first claim on the key. */
  set first(first: Claim) {
    this.claims.set(nameOf(KEY, FIRST), first);
  }
}

const DAY = 24 * 3600 * 1_000_000;

function nameOf(idempotencyKey: string, variant: Uint8Array): string {
  return `${Buffer.from(variant).toString("hex")} ${idempotencyKey}`;
}

/** A decision that holds the first claim on {@link KEY}. */
export function claim(change: Partial<Claim> = {}): Claim {
  const { reason = "RULE_ALLOWED" } = change;
  return {
    decisionId: change.decisionId ?? uuidV7(STORE_TIME, random),
    reason,
    message: change.message ?? `First: ${reason}.`,
    ruleId: change.ruleId ?? null,
    policyVersion: change.policyVersion ?? "sha256:earlier",
    decidedAt: change.decidedAt ?? STORE_TIME - 1000,
    expiresAt: change.expiresAt ?? STORE_TIME + DAY,
    requestDigest: change.requestDigest ?? SAME,
  };
}

export const REQUEST: UnverifiedRequest = {
  tool: "stripe.refund",
  payload: { amount: 50 },
  idempotencyKey: KEY,
  agentId: "",
  nonce: NONCE,
  principal: null,
  sessionId: null,
};
/** Digests of {@link REQUEST}, and of another request. */
export const SAME = digestOf(REQUEST);
export const OTHER = digestOf({ ...REQUEST, tool: "stripe.payout" });

export function digestOf({ tool, payload, principal }: UnverifiedRequest): Buffer {
  const canonicalPayload = canonicalJson(payload, "payload", 32);
  return digestRequest(keys, { agentId: AGENT, tool, canonicalPayload, principal });
}

/** What a policy in force says, whatever it is asked. */
export class FakePolicy {
  version = POLICY_VERSION;
  redaction = new Redaction([]);
  judgement: Judgement = judge("RULE_ALLOWED", "Allowed.", "refund-small");
  evaluations = 0;
  /** What it throws, as a bug would. */
  bug: Error | null = null;

  evaluate(): Judgement {
    this.evaluations++;
    if (this.bug !== null) throw this.bug;
    return this.judgement;
  }
}

/** What keeps the payload's part at `source` out of storage. */
export function redacting(source: string): Redaction {
  const path = parseRedactPath(source);
  if (!("steps" in path)) throw new Error(path.message);
  return new Redaction([{ tools: ["stripe.*"], paths: [path] }]);
}

export const REVIEW_NEEDED: Judgement = {
  ...judge("REVIEW_PENDING", "A review is needed.", "refund-large"),
  review: { approvers: 1, approvalMicros: 3600e6, expiryMicros: DAY },
};

/** A call of {@link AGENT}, which waits for five seconds. */
export function callWith<Body>(readBody: () => Body, change: Partial<Call<Body>> = {}): Call<Body> {
  return {
    authorization: CREDENTIAL,
    deadlineAt: Date.now() + 5000,
    signal: new AbortController().signal,
    traceparent: undefined,
    readBody,
    ...change,
  };
}

/** What came of a call. */
export type Outcome = { readonly answer: Answer } | { readonly fault: Fault };

/** Authorize over fakes. Its tests run on fake timers, whose time is the monotonic clock. */
export function authorizeWorld() {
  const agents = new FakeAgents();
  const store = new FakeStore();
  const policy = new FakePolicy();
  const world = {
    agents,
    store,
    policy,
    /** What the cache remembers of the key. */
    remembered: null as Claim | null,
    /** Each claim that was put into the cache. */
    noted: [] as Claim[],
    /** Ids of the decisions of which a start that follows is told. */
    recent: [] as string[],
    /** What a review that was opened has come to; an error if it cannot be read. */
    review: null as Reason | Error | null,
    /** What admission throws. */
    turnedAway: null as Fault | null,
    /** From which of its checks on the service is in recovery. */
    recovery: { checks: 0, from: Number.POSITIVE_INFINITY },
    answers: [] as Answer[],
    refusals: [] as (RefusedCall & { readonly fault: Fault })[],
    steps: [] as string[],
    bodiesRead: 0,
    ask,
  };
  const authorize = createAuthorize({
    agents,
    checkRecovery: recoveryCheck(world.recovery),
    admit: () => {
      if (world.turnedAway !== null) throw world.turnedAway;
    },
    cache: {
      at: () => ({
        get: async () => world.remembered,
        set: (noted) => {
          world.noted.push(noted);
          world.remembered = noted;
        },
      }),
      close: async () => {},
    },
    recent: { note: (row) => void world.recent.push(row.decisionId) },
    ledger: store,
    policy: () => policy,
    reviews: {
      current: async (first) => {
        if (world.review instanceof Error) throw world.review;
        return world.review === null ? first : { ...first, reason: world.review };
      },
    },
    writer: store,
    keys,
    random,
    now: () => STORE_TIME,
    monotonic: () => Date.now(),
    observe: { step: (step) => void world.steps.push(step) },
    answered: (answer) => void world.answers.push(answer),
    refused: (fault, refused) => void world.refusals.push({ fault, ...refused }),
  });

  async function ask(
    change: Partial<Call<UnverifiedRequest>> = {},
    request: Partial<UnverifiedRequest> = {},
  ): Promise<Outcome> {
    const readBody = (): UnverifiedRequest => {
      world.bodiesRead++;
      return { ...REQUEST, ...request };
    };
    return await authorize(callWith(readBody, change)).then(
      (answer) => ({ answer }),
      (fault: unknown) => {
        if (!(fault instanceof Fault)) throw fault;
        return { fault };
      },
    );
  }

  return world;
}

export function answerOf(outcome: Outcome): Answer {
  if ("fault" in outcome) throw new Error("refused instead of answered", { cause: outcome.fault });
  return outcome.answer;
}

export function faultOf(outcome: Outcome): Fault {
  if ("answer" in outcome) throw new Error(`answered ${outcome.answer.reason} instead of refused`);
  return outcome.fault;
}

/** Refuses its check number `from` and all after it. */
export function recoveryCheck(recovery: { checks: number; from: number }): () => void {
  return () => {
    if (++recovery.checks >= recovery.from) throw new Fault("IN_RECOVERY", "in recovery");
  };
}
