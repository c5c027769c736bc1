import { makeEvent } from "../audit/row/event.ts";
import { MAX_BYPASS_MICROS, type BypassOrder, signBypassOrder, verifyBypassOrder } from "../core/grant.ts";
import type { GrantView, StoredBypassOrder } from "../core/bypass-order.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import { type RandomPool, uuidV7 } from "../core/ids.ts";
import type { SigningKeys } from "../keys/key-files.ts";
import { checkAgentFilter, checkReason, invalid } from "./checks.ts";
import type { PageTokens } from "./page-tokens.ts";
import type { Position } from "../audit/row/position.ts";
import type { SqlBypassOrders } from "../store/bypass-orders.ts";
import type { SqlAgentStore } from "../store/agents.ts";

const DEFAULT_MICROS: Micros = 4 * 60 * 60 * 1_000_000;
const MAX_TOOLS = 100;
const MAX_TOOL_BYTES = 256;
/** How often an order is tried whose epoch another one takes. */
const TRIES = 5;

export interface BypassPorts {
  readonly orders: SqlBypassOrders;
  readonly agents: SqlAgentStore;
  /** Those in use at the time of the call. */
  readonly grantKeys: () => SigningKeys;
  readonly tokens: PageTokens;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

export interface GrantQuery {
  /** Null for all agents. */
  readonly agentId: string | null;
  /** Also those that ended. */
  readonly past: boolean;
  readonly limit: number;
}

export interface BypassRequest {
  readonly agentId: string;
  readonly tools: readonly string[];
  readonly allTools: boolean;
  readonly reason: string;
  /** Null means four hours. */
  readonly durationMicros: Micros | null;
}

/** Setting and clearing circuit bypasses: every change is a signed order with a higher epoch, and an event in the trail. */
export class BypassOperations {
  readonly #ports: BypassPorts;

  constructor(ports: BypassPorts) {
    this.#ports = ports;
  }

  /** @throws Fault FIELD_INVALID, AGENT_UNKNOWN, AGENT_REVOKED (also for a frozen agent) */
  async set(request: BypassRequest, operator: string): Promise<GrantView> {
    const tools = checkTools(request);
    const reason = checkReason(request.reason);
    const lifetime = checkDuration(request.durationMicros);
    await this.#mustBeActive(request.agentId);
    const order = await this.#issue("bypass.set", request.agentId, operator, reason, async (epoch, issuedAt) => {
      const claims = {
        grantId: uuidV7(issuedAt, this.#ports.random),
        agentId: request.agentId,
        tools,
        operator,
        reason,
        issuedAt,
        expiresAt: issuedAt + lifetime,
        epoch,
      };
      return { ...claims, token: signBypassOrder({ kind: "grant", claims }, this.#ports.grantKeys().signing) };
    });
    return { order, endedAt: null, endedBy: null, endedBecause: null };
  }

  /**
   * Revokes whatever grant the agent has, also one that this database does not know of (it may have been restored from a
   * backup).
   *
   * @returns the grant that was in force, or null
   */
  async clear(agentId: string, reason: string, operator: string): Promise<GrantView | null> {
    const checked = checkReason(reason);
    if ((await this.#ports.agents.find(agentId)) === null)
      throw new Fault("AGENT_UNKNOWN", `There is no agent ${agentId}.`);
    const newest = await this.#ports.orders.newest(agentId);
    const revocation = await this.#issue("bypass.cleared", agentId, operator, checked, async (epoch, issuedAt) => {
      const expiresAt = issuedAt + MAX_BYPASS_MICROS;
      const order = { agentId, epoch, issuedAt, expiresAt };
      const token = signBypassOrder({ kind: "revocation", ...order }, this.#ports.grantKeys().signing);
      return { ...order, grantId: null, tools: [], operator, reason: checked, token };
    });
    if (newest === null || newest.grantId === null || newest.expiresAt <= revocation.issuedAt) return null;
    return { order: newest, endedAt: revocation.issuedAt, endedBy: operator, endedBecause: checked };
  }

  /** Newest first, with the token for the next page; empty on the last. @throws Fault FIELD_INVALID */
  async list(query: GrantQuery, pageToken = ""): Promise<{ grants: GrantView[]; nextPageToken: string }> {
    const { orders, tokens, now } = this.#ports;
    checkAgentFilter(query.agentId);
    const scope = `bypasses ${JSON.stringify([query.agentId, query.past])}`;
    const before = tokens.open(pageToken, scope) as Position | null;
    const found = await orders.listGrants({ ...query, before, now: now(), limit: query.limit + 1 });
    const grants = found.slice(0, query.limit);
    const last = found.length > query.limit ? grants.at(-1)?.order : undefined;
    return { grants, nextPageToken: tokens.next(last && { at: last.issuedAt, id: last.grantId ?? "" }, scope) };
  }

  /**
   * What a guard that asks this replica is to follow: the agent's newest order, or null.
   *
   * INVARIANT: never one of an older key than this replica shows. A guard that has followed to the new key would not hear it: a
   * revocation that a replica signed while the key was being rotated would leave a grant that was signed again in force.
   */
  async newest(agentId: string): Promise<StoredBypassOrder | null> {
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const order = await this.#ports.orders.newest(agentId);
      if (order === null || !(await this.#isOutdated(order))) return order;
      await this.#signAgain(order);
    }
    throw otherChanges();
  }

  /**
   * Signs again whatever is in force and was signed by an older key. Safe to race, with others who do the same and with
   * operators.
   *
   * @returns how many orders
   */
  async signAgain(): Promise<number> {
    let signed = 0;
    for (const order of await this.#ports.orders.live(this.#ports.now())) {
      if ((await this.#isOutdated(order)) && (await this.#signAgain(order))) signed++;
    }
    return signed;
  }

  /** Whether it is still in force and an older key signed it. What a key signed that this replica has not been given yet is not. */
  async #isOutdated({ token, expiresAt }: StoredBypassOrder): Promise<boolean> {
    const { signing, chain } = this.#ports.grantKeys();
    if (chain.length === 1 || expiresAt <= this.#ports.now()) return false;
    // Nearly always it is the newest key's, and then the older ones need not be tried.
    if (!("problem" in verifyBypassOrder(token, [signing.publicKey]))) return false;
    const older = chain.slice(0, -1).map(({ publicKey }) => publicKey);
    return !("problem" in verifyBypassOrder(token, older));
  }

  /** @returns false if the order is not the newest any more, or has expired */
  async #signAgain(order: StoredBypassOrder): Promise<boolean> {
    const { signing } = this.#ports.grantKeys();
    const issuedAt = this.#ports.now();
    if (order.expiresAt <= issuedAt) return false;
    // INVARIANT: the very next epoch, which no later order can be below: what an operator has changed meanwhile stands.
    const claims = { ...order, issuedAt, epoch: order.epoch + 1 };
    const grantId = order.grantId === null ? null : uuidV7(issuedAt, this.#ports.random);
    const again: BypassOrder =
      grantId === null ? { kind: "revocation", ...claims } : { kind: "grant", claims: { ...claims, grantId } };
    const signed: StoredBypassOrder = { ...claims, grantId, token: signBypassOrder(again, signing) };
    const { agentId, epoch } = signed;
    const detail = { reason: "the grant key was rotated", epoch, grantId, replaces: order.grantId };
    const facts = { kind: "bypass.signed_again", actor: "service", subject: agentId, detail };
    return await this.#ports.orders.add(signed, makeEvent(facts, issuedAt, this.#ports.random));
  }

  async #mustBeActive(agentId: string): Promise<void> {
    const agent = await this.#ports.agents.find(agentId);
    if (agent === null) throw new Fault("AGENT_UNKNOWN", `There is no agent ${agentId}.`);
    if (agent.state !== "active")
      throw new Fault("AGENT_REVOKED", `The agent ${agentId} is ${agent.state}: it cannot have a bypass.`);
  }

  /** Signs and stores an order under the next epoch. */
  async #issue(
    kind: string,
    agentId: string,
    operator: string,
    reason: string,
    sign: (epoch: number, issuedAt: Micros) => Promise<StoredBypassOrder>,
  ): Promise<StoredBypassOrder> {
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const newest = await this.#ports.orders.newest(agentId);
      const issuedAt = this.#ports.now();
      // Above the time in microseconds, too: a database that was restored from a backup must not issue epochs that guards
      // have seen, or they would ignore its revocations.
      const order = await sign(Math.max((newest?.epoch ?? 0) + 1, issuedAt), issuedAt);
      const detail = {
        reason,
        epoch: order.epoch,
        expiresAtUs: order.expiresAt,
        grantId: order.grantId ?? newest?.grantId ?? null,
        ...(order.grantId === null ? {} : { tools: order.tools === "*" ? "*" : [...order.tools] }),
      };
      const event = makeEvent({ kind, actor: operator, subject: agentId, detail }, order.issuedAt, this.#ports.random);
      if (await this.#ports.orders.add(order, event)) return order;
      if (order.grantId !== null) await this.#mustBeActive(agentId);
    }
    throw otherChanges();
  }
}

function otherChanges(): Fault {
  const message = "The agent's bypass was changed several times at once: try again.";
  return new Fault("STORE_UNAVAILABLE", message, { retryAfterMs: 500 });
}

function checkTools({ tools, allTools }: BypassRequest): readonly string[] | "*" {
  if (allTools && tools.length > 0) throw invalid("tools", "must be empty with all_tools");
  if (allTools) return "*";
  if (tools.length === 0 || tools.length > MAX_TOOLS) throw invalid("tools", `must name 1 to ${MAX_TOOLS} tools`);
  for (const tool of tools) {
    const fits =
      tool !== "" && Buffer.byteLength(tool) <= MAX_TOOL_BYTES && !tool.includes("\0") && tool.isWellFormed();
    if (!fits) throw invalid("tools", `must each be 1 to ${MAX_TOOL_BYTES} bytes of text`);
    if (tool.includes("*")) throw invalid("tools", "must be exact names: patterns are not supported");
  }
  return [...new Set(tools)];
}

function checkDuration(micros: Micros | null): Micros {
  if (micros === null) return DEFAULT_MICROS;
  if (micros > 0 && micros <= MAX_BYPASS_MICROS) return micros;
  throw invalid("duration", "must be more than zero and at most 24 hours");
}
