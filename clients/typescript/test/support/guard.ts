import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Breaker, createBreaker } from "../../src/circuit/breaker.ts";
import { type BypassOrder, signBypassOrder } from "../../../../src/core/grant.ts";
import { firstLink, makeSigningKey, type SigningKey } from "../../../../src/core/key-chain.ts";
import { type Clock, systemClock } from "../../../../src/core/clock.ts";
import { type GrantKeeper, openGrantKeeper } from "../../src/grants/grants.ts";
import type { GuardReported, GuardStart } from "../../src/call/execution.ts";
import type { ReportRequest } from "../../src/call/executions.ts";
import { Guard } from "../../src/call/guard.ts";
import { type Journal, openJournal } from "../../src/journal/journal.ts";
import type { TokenSource } from "../../src/transport/identity.ts";
import type { GuardRequest } from "../../src/call/question.ts";
import type { GuardCall } from "../../src/call/through-circuit.ts";
import { KeptReports } from "../../src/journal/kept-reports.ts";
import { BypassStarts } from "../../src/journal/starts.ts";
import { Transport } from "../../src/transport/transport.ts";
import type { GuardVerdict } from "../../src/call/verdict.ts";
import { RandomPool } from "../../../../src/core/ids.ts";
import { API_KEY } from "./service.ts";

export const AGENT_ID = "agent-1";

export interface Rig {
  readonly breaker: Breaker;
  readonly journal: Journal;
  readonly grants: GrantKeeper;
  readonly starts: BypassStarts;
  /** A question about `tool`, given four seconds unless the call says otherwise. */
  ask(request?: Partial<GuardRequest>, call?: { timeoutMs?: number } & Partial<GuardCall>): Promise<GuardVerdict>;
  /** Starts a decision, given four seconds unless the call says otherwise. */
  begin(
    decisionId: string,
    call?: { timeoutMs?: number } & Partial<GuardCall>,
    nonce?: Uint8Array,
  ): Promise<GuardStart>;
  /** Reports how an execution ended, by default within a second. */
  report(request: ReportRequest, timeoutMs?: number): Promise<GuardReported>;
  /** Sends the reports that were kept. */
  sendKept(): Promise<void>;
  /** Whatever it is. */
  askAnything(request: unknown): Promise<GuardVerdict>;
  /** Signs and offers a grant, as a healthy service would have. */
  grant(claims?: Partial<GrantClaimsInit>): Promise<void>;
  /** Signs and offers a revocation of everything below `epoch`. */
  revoke(epoch: number): Promise<void>;
  close(): Promise<void>;
}

interface GrantClaimsInit {
  agentId: string;
  tools: readonly string[] | "*";
  epoch: number;
  issuedAt: number;
  expiresAt: number;
}

export interface RigOptions {
  readonly url: URL;
  readonly transport?: "grpc" | "connect";
  readonly ca?: string;
  readonly failures?: number;
  readonly probeAfterMs?: number;
  /** False: no directory, and so no bypass. */
  readonly disk?: boolean;
  /** A directory that another guard uses too, and which stays. Default: one of its own. */
  readonly dir?: string;
  readonly clock?: Clock;
  /** Instead of a key. */
  readonly token?: TokenSource;
  readonly wrapJournal?: (journal: Journal) => Journal;
}

/** The system's clock, which a test moves ahead: what is due after a while is due then, and not before, however slow the machine is. */
export class MovableClock implements Clock {
  #aheadMs = 0;

  ahead(milliseconds: number): void {
    this.#aheadMs += milliseconds;
  }

  now(): number {
    return systemClock.now() + this.#aheadMs * 1000;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs;
  }
}

/** A guard on real sockets and files. */
export async function openRig(options: RigOptions): Promise<Rig> {
  const { url, transport: name = "grpc", ca, failures = 5, probeAfterMs = 30_000, clock = systemClock } = options;
  const own =
    options.disk === false || options.dir !== undefined ? null : await mkdtemp(join(tmpdir(), "datacrawl-guard-"));
  const dir = options.dir ?? own;
  const endpoint = {
    url,
    identity: { bearer: options.token ?? API_KEY, certificateFiles: null },
    ...(ca !== undefined && { ca }),
  };
  const transport = new Transport(name, endpoint);
  const config = { failures, probeAfterMs };
  const breaker = createBreaker({ service: url.origin, agentId: AGENT_ID, config, clock, random: Math.random });
  const opened = await openJournal({ dir, agentId: AGENT_ID, clock });
  const journal = options.wrapJournal?.(opened) ?? opened;
  const grants = await openGrantKeeper({ dir, agentId: AGENT_ID, clock });
  const starts = new BypassStarts({
    dir: dir === null ? null : join(dir, AGENT_ID),
    agentId: AGENT_ID,
    clock,
    journal,
  });
  const guard = new Guard({
    agentId: AGENT_ID,
    transport,
    breaker,
    journal,
    grants,
    starts,
    reports: new KeptReports(dir === null ? null : join(dir, AGENT_ID), clock),
    clock,
    random: new RandomPool(),
  });
  const key = makeSigningKey();
  return {
    breaker,
    journal,
    grants,
    starts,
    ask: (request = {}, { timeoutMs = 4000, ...call } = {}) =>
      guard.authorize(
        { tool: "mail.send", payload: { to: "a@example.com" }, ...request },
        {
          deadlineAt: clock.monotonic() + timeoutMs,
          ...call,
        },
      ),
    begin: (decisionId, { timeoutMs = 4000, ...call } = {}, nonce) =>
      guard.executions.begin({ decisionId, nonce }, { deadlineAt: clock.monotonic() + timeoutMs, ...call }),
    report: (request, timeoutMs = 1000) =>
      guard.executions.report(request, { deadlineAt: clock.monotonic() + timeoutMs }),
    sendKept: () => guard.executions.sendKept(),
    askAnything: (request) => guard.authorize(request as GuardRequest, { deadlineAt: clock.monotonic() + 4000 }),
    grant: (claims) => offer(grants, key, clock, { kind: "grant", claims: { ...grantClaims(clock), ...claims } }),
    revoke: (epoch) => {
      const issuedAt = clock.now();
      const order: BypassOrder = {
        kind: "revocation",
        agentId: AGENT_ID,
        issuedAt,
        expiresAt: issuedAt + 3_600_000_000,
        epoch,
      };
      return offer(grants, key, clock, order);
    },
    close: async () => {
      transport.close();
      await breaker.close();
      await opened.close();
      if (own !== null) await rm(own, { recursive: true });
    },
  };
}

function grantClaims(clock: Clock) {
  const issuedAt = clock.now();
  return {
    grantId: "0198c0de-0000-7000-8000-0000000000aa",
    agentId: AGENT_ID,
    tools: ["mail.send"] as readonly string[] | "*",
    operator: "ada",
    reason: "the service is being moved",
    issuedAt,
    expiresAt: issuedAt + 3_600_000_000,
    epoch: 1,
  };
}

async function offer(grants: GrantKeeper, key: SigningKey, clock: Clock, order: BypassOrder): Promise<void> {
  const unverifiedGrants = [signBypassOrder(order, key)];
  await grants.offer({ fromService: true, unverifiedGrants, grantKeys: [firstLink(key)], serviceTime: clock.now() });
}
