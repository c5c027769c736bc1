import { setTimeout as sleep } from "node:timers/promises";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import { parseAuthorization, secretMatches } from "../core/credential.ts";

export type AgentState = "active" | "frozen" | "revoked";

export interface AgentRecord {
  readonly agentId: string;
  readonly state: AgentState;
}

/** An agent as operators see it. */
export interface AgentView {
  readonly agentId: string;
  readonly state: AgentState;
  readonly createdAt: Micros;
  /** Of its keys that are not revoked. */
  readonly keyIds: readonly string[];
  /** What the trail says about the freeze that it is under; null unless it is frozen, or if that month was retired. */
  readonly freeze: { readonly by: string; readonly at: Micros; readonly reason: string } | null;
}

export interface KeyRecord {
  readonly keyId: string;
  readonly agentId: string;
  /** SHA-256 of the secret, 32 bytes. */
  readonly secretHash: Uint8Array;
  readonly revoked: boolean;
}

/** Everything that changed after a version, and the version reached. */
export interface DirectoryChanges {
  readonly version: number;
  readonly agents: readonly AgentRecord[];
  readonly keys: readonly KeyRecord[];
  /** The store's clock. */
  readonly now: Micros;
}

export interface DirectoryStore {
  /** @param since 0 for everything */
  changesSince(since: number): Promise<DirectoryChanges>;
}

/** An agent whose credential was verified. */
export interface AuthenticatedAgent {
  readonly agentId: string;
  /** Of the key; for a token `jwt:` and the id of the issuer's key; for a certificate `cert:` and its digest. Not a secret: it goes into the trail. */
  readonly keyId: string;
  /** On whose behalf the agent's token says that it acts; absent where it says nothing. */
  readonly principal?: string;
}

/** How old the knowledge of an agent's state may be when something is answered that is not a deny. */
const FRESH_MS = 1000;
/** Below {@link FRESH_MS}, so that a request rarely waits for a refresh. */
const POLL_MS = 300;
/** A flood of unknown keys causes at most this often a query. */
const MISS_REFRESH_MS = 50;

/**
 * All agents and keys, in memory, never much older than a second: the service asks the store for what changed several times
 * a second. A key that is not known here is asked for at once, so that a new one works right away.
 */
export class AgentDirectory {
  readonly #store: DirectoryStore;
  readonly #monotonic: () => number;
  readonly #onRefresh: (changes: DirectoryChanges, roundTripMs: number) => void;
  readonly #onError: (error: unknown) => void;
  readonly #agents = new Map<string, AgentRecord>();
  readonly #keys = new Map<string, KeyRecord>();
  #version = 0;
  /** When the last successful refresh was begun: what it saw is at least that new. */
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    readonly store: DirectoryStore;
    readonly monotonic: () => number;
    readonly onRefresh: (changes: DirectoryChanges, roundTripMs: number) => void;
    readonly onError: (error: unknown) => void;
  }) {
    this.#store = options.store;
    this.#monotonic = options.monotonic;
    this.#onRefresh = options.onRefresh;
    this.#onError = options.onError;
  }

  /** Loads everything, then keeps up with changes until {@link stop}. */
  async start(): Promise<void> {
    await this.refresh();
    this.#timer = setInterval(() => {
      this.refresh().catch((error: unknown) => {
        if (this.#timer !== undefined) this.#onError(error);
      });
    }, POLL_MS).unref();
  }

  /** What is under way may still fail, as when the store is closed next. It is nobody's concern any more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Milliseconds since the store last confirmed what is known here. */
  get age(): number {
    return this.#monotonic() - this.#confirmedAt;
  }

  /**
   * Verifies the credential in an `authorization` header.
   *
   * @throws Fault CREDENTIAL_MISSING, CREDENTIAL_UNKNOWN; STORE_UNAVAILABLE if the key is unknown and the store cannot be asked
   */
  async authenticate(authorization: string | undefined): Promise<AuthenticatedAgent> {
    if (authorization === undefined || authorization === "") {
      throw new Fault("CREDENTIAL_MISSING", "No credential. Send `authorization: Bearer dc_agent_…`.");
    }
    const credential = parseAuthorization(authorization);
    if (credential === null) throw unknownCredential();
    if (!this.#keys.has(credential.keyId)) await this.#lookAgain();
    const key = this.#keys.get(credential.keyId);
    const known = key !== undefined && !key.revoked && key.agentId === credential.agentId;
    if (!known || !secretMatches(credential.secret, key.secretHash)) throw unknownCredential();
    if (this.#agents.get(key.agentId)?.state === "revoked") throw unknownCredential();
    return { agentId: key.agentId, keyId: key.keyId };
  }

  /**
   * Whether there is such an agent, and it is not revoked.
   *
   * @throws Fault STORE_UNAVAILABLE if it is not known and the store cannot be asked
   */
  async isInUse(agentId: string): Promise<boolean> {
    if (!this.#agents.has(agentId)) await this.#lookAgain();
    return this.stateOf(agentId) !== "revoked";
  }

  /** Of all agents that are not revoked, as far as they are known now. */
  agentIds(): string[] {
    return [...this.#agents.values()].filter(({ state }) => state !== "revoked").map(({ agentId }) => agentId);
  }

  /** The agent's state, as far as it is known now. */
  stateOf(agentId: string): AgentState {
    return this.#agents.get(agentId)?.state ?? "revoked";
  }

  /**
   * The agent's state as it was less than a second ago.
   *
   * @throws Fault STORE_UNAVAILABLE if the store cannot confirm it
   */
  async confirmedStateOf(agentId: string): Promise<AgentState> {
    if (this.age > FRESH_MS) await this.#refreshOrFault();
    // The refresh may have been under way already, and slow: what it saw is as old as its beginning.
    if (this.age > FRESH_MS) await this.#refreshOrFault();
    if (this.age > FRESH_MS) throw unconfirmed("The store answers too slowly.");
    return this.stateOf(agentId);
  }

  /** Asks the store for what changed. Callers share one query. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #lookAgain(): Promise<void> {
    // What was seen last, and what is being read now, may be older than what is looked for: wait for its turn, then ask once more.
    await this.#refreshing?.catch(() => undefined);
    if (this.age <= MISS_REFRESH_MS) await sleep(MISS_REFRESH_MS - this.age);
    await this.#refreshOrFault();
  }

  async #refreshOrFault(): Promise<void> {
    try {
      await this.refresh();
    } catch (cause) {
      throw unconfirmed(cause);
    }
  }

  async #refresh(): Promise<void> {
    const begun = this.#monotonic();
    const changes = await this.#store.changesSince(this.#version);
    for (const agent of changes.agents) this.#agents.set(agent.agentId, agent);
    for (const key of changes.keys) this.#keys.set(key.keyId, key);
    this.#version = changes.version;
    this.#confirmedAt = begun;
    this.#onRefresh(changes, this.#monotonic() - begun);
  }
}

function unconfirmed(cause: unknown): Fault {
  return new Fault("STORE_UNAVAILABLE", "The agent's state cannot be confirmed.", { cause, retryAfterMs: 1000 });
}

/** One answer for every kind of wrong credential: which part was wrong is not the caller's to know. */
export function unknownCredential(): Fault {
  return new Fault("CREDENTIAL_UNKNOWN", "The credential is not known, or has been revoked.");
}
