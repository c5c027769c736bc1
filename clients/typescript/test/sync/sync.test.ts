import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import {
  CircuitState,
  SyncGuardRequestSchema,
  SyncGuardResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { SyncGuardRequest, SyncGuardResponse } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { RedisLink } from "../../src/circuit/redis-link.ts";
import { systemClock } from "../../../../src/core/clock.ts";
import { type GrantKeeper, openGrantKeeper } from "../../src/grants/grants.ts";
import { redisGrants, type SharedGrants } from "../../src/grants/redis.ts";
import { type Journal, openJournal } from "../../src/journal/journal.ts";
import { hex, readBody } from "../../../../src/core/journal-format.ts";
import { LIMITS } from "../../../../src/server/limits/limits.ts";
import { delayAfter, startSync, TIMEOUT_MS, type Sync, type SyncOptions } from "../../src/sync/sync.ts";
import { HandClock, hour, SigningService } from "../support/grant-samples.ts";
import { agentId, bypass, deny } from "../support/journal-samples.ts";

const tool = "stripe.refund";
/** Long enough that in these tests rounds begin only when asked for, unless a test wants otherwise. */
const NEVER_MS = 3_600_000;

let dir: string;
let clock: HandClock;
let signing: SigningService;
let journal: Journal;
let grants: GrantKeeper;
const open: { close(): void | Promise<void> }[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "datacrawl-sync-"));
  clock = new HandClock();
  signing = new SigningService(clock);
  journal = await openJournal({ dir, agentId, clock: systemClock });
  grants = await openGrantKeeper({ dir, agentId, clock });
  open.push(journal);
});
afterEach(async () => {
  for (const part of open.splice(0).toReversed()) await part.close();
  await rm(dir, { recursive: true, force: true });
});

/** A service's side of SyncGuard: records each record once by its hash, and answers with its grants. */
class Service {
  readonly requests: SyncGuardRequest[] = [];
  /** Bodies by hash, and how often each came. */
  readonly recorded = new Map<string, { readonly body: Uint8Array; readonly journalId: string; count: number }>();
  grants: string[] = [];
  /** What becomes of a request after it was recorded: an error is thrown, an answer may be changed. */
  answer: (request: SyncGuardRequest, response: SyncGuardResponse) => SyncGuardResponse | Error = (_, response) =>
    response;
  /** Records by the index of their arrival that are not recorded. */
  skips: (index: number) => boolean = () => false;
  refuses: (body: string) => boolean = () => false;

  readonly exchange = async (request: SyncGuardRequest): Promise<SyncGuardResponse> => {
    this.requests.push(request);
    const response = create(SyncGuardResponseSchema, {
      unverifiedGrants: this.grants,
      grantKeys: signing.chain.map((link) => ({ ...link })),
      serviceTime: timestampFromMs(clock.wall / 1000),
    });
    for (const [index, { hash, body }] of request.records.entries()) {
      if (this.refuses(Buffer.from(body).toString())) {
        response.refusedRecords.push(
          create(SyncGuardResponseSchema, { refusedRecords: [{ hash, problem: "no" }] }).refusedRecords[0]!,
        );
      } else if (!this.skips(index)) {
        const known = this.recorded.get(hex(hash));
        this.recorded.set(hex(hash), { body, journalId: request.journalId, count: (known?.count ?? 0) + 1 });
        response.recordedHashes.push(hash);
      }
    }
    const answer = this.answer(request, response);
    if (answer instanceof Error) throw answer;
    return answer;
  };

  get decisionIds(): string[] {
    return [...this.recorded.values()].map(({ body }) => {
      const record = readBody(body);
      return "problem" in record ? record.problem : record.decisionId;
    });
  }
}

function sync(service: Service, changes: Partial<SyncOptions> = {}): Sync {
  const started = startSync({
    exchange: service.exchange,
    journal,
    grants,
    report: () => ({ state: CircuitState.OPEN, consecutiveFailures: 5, cause: "local", lastErrors: ["reset"] }),
    clock,
    random: Math.random,
    intervalMs: NEVER_MS,
    ...changes,
  });
  open.push(started);
  return started;
}

function problem(keeper: GrantKeeper = grants): string | null {
  const found = keeper.lookup(tool);
  return "problem" in found ? found.problem : null;
}

describe("one round", () => {
  test("fetches grants, reports the circuit and uploads the journal", async () => {
    const service = new Service();
    service.grants = [signing.grant(1)];
    const record = bypass();
    journal.recordDeny(() => deny());
    await journal.recordBypass(record);
    let synced = 0;
    const started = sync(service, { onSynced: () => synced++ });
    await started.now();
    expect(problem()).toBeNull();
    expect(synced).toBe(1);
    expect(started.status).toEqual({ syncedAt: clock.wall, failures: 0, lastError: null });
    expect(service.decisionIds).toContain(record.decisionId);
    expect(journal.counts.unsynced).toBe(0);
    expect(service.requests[0]).toMatchObject({
      journalId: journal.id,
      circuit: {
        state: CircuitState.OPEN,
        consecutiveFailures: 5,
        cause: "local",
        unsyncedRecords: 2n,
        coalescedDenies: 0n,
      },
      records: [],
    });
    expect(service.requests[1]?.records.map(({ sequence }) => sequence)).toEqual([1n, 2n]);

    service.grants = [signing.revocation(2)];
    await started.now();
    expect(problem()).toBe("the agent's grant was revoked");
    expect(service.requests).toHaveLength(3);
  });

  test("keeps what was not acknowledged, and sends nothing else again", async () => {
    const service = new Service();
    service.skips = (index) => index % 2 === 1;
    for (let made = 0; made < 9; made++) journal.recordDeny(() => deny());
    const started = sync(service);
    for (const left of [4, 2, 1, 0]) {
      await started.now();
      expect(journal.counts.unsynced).toBe(left);
    }
    expect([...service.recorded.values()].map(({ count }) => count)).toEqual(Array.from({ length: 9 }, () => 1));
  });

  test("whose answer was lost is repeated, and a record is then known by its hash", async () => {
    const service = new Service();
    await journal.recordBypass(bypass());
    service.answer = (request, response) => (request.records.length > 0 ? new Error("reset") : response);
    const started = sync(service);
    await started.now();
    expect(started.status).toMatchObject({ failures: 1, lastError: "Error: reset", syncedAt: clock.wall });
    expect(journal.counts.unsynced).toBe(1);
    service.answer = (_, response) => response;
    await started.now();
    expect(started.status).toMatchObject({ failures: 0, lastError: null });
    expect(journal.counts.unsynced).toBe(0);
    expect(service.recorded.size).toBe(1);
  });

  test("takes no other word for an acknowledgement than the record's own hash", async () => {
    const service = new Service();
    await journal.recordBypass(bypass());
    service.answer = (request, response) => {
      response.recordedHashes = request.records.flatMap(({ hash, previousHash }) => [
        previousHash,
        hash.subarray(1),
        Buffer.alloc(32),
      ]);
      return response;
    };
    const started = sync(service);
    await started.now();
    expect(journal.counts.unsynced).toBe(1);
  });

  test("keeps a refused record aside, and goes on with the others", async () => {
    const service = new Service();
    const bad = bypass({ tool: "bad.tool" });
    for (const record of [bypass(), bad, bypass()]) await journal.recordBypass(record);
    service.refuses = (body) => body.includes("bad.tool");
    const started = sync(service);
    await started.now();
    await started.now();
    expect(journal.counts.unsynced).toBe(0);
    expect(service.recorded.size).toBe(2);
    expect(service.requests.filter(({ records }) => records.length > 0)).toHaveLength(1);
  });

  test("brings grants and revocations also when the service cannot take the records", async () => {
    const service = new Service();
    await journal.recordBypass(bypass());
    service.answer = (request, response) => (request.records.length > 0 ? new Error("poison") : response);
    service.grants = [signing.grant(1)];
    const started = sync(service);
    await started.now();
    expect(problem()).toBeNull();
    service.grants = [signing.revocation(2)];
    await started.now();
    expect(problem()).toBe("the agent's grant was revoked");
    expect(started.status.failures).toBe(2);
  });

  test("uploads what a dead process left under its own journal's id, without this one's circuit", async () => {
    const leftover = await openJournal({ dir, agentId, clock: systemClock });
    await leftover.recordBypass(bypass());
    await leftover.close();
    await journal.recordBypass(bypass());
    const service = new Service();
    const started = sync(service);
    await started.now();
    await started.now();
    expect([...service.recorded.values()].map(({ journalId }) => journalId).toSorted()).toEqual(
      [leftover.id, journal.id].toSorted(),
    );
    for (const { journalId, circuit } of service.requests)
      expect(circuit === undefined || journalId === journal.id).toBe(true);
  });

  test("sends at most 500 records and what the service takes in one message, also of the largest records", async () => {
    // In memory, where no file ends a batch.
    journal = await openJournal({ dir: null, agentId, clock: systemClock });
    const [tool, idempotencyKey] = ["\u0001".repeat(256), "\u0002".repeat(256)];
    const largest = deny({
      tool,
      idempotencyKey,
      message: '"'.repeat(512),
      errors: Array.from({ length: 5 }, () => "\\".repeat(200)),
    });
    for (let made = 0; made < 700; made++) journal.recordDeny(() => ({ ...largest, decisionId: randomUUID() }));
    for (let made = 0; made < 600; made++) journal.recordDeny(() => deny());
    const service = new Service();
    const started = sync(service);
    while (service.recorded.size < 1300) await started.now();
    for (const { records } of service.requests) {
      expect(records.length).toBeLessThanOrEqual(500);
      expect(records.reduce((sum, { body }) => sum + body.length, 0)).toBeLessThanOrEqual(512 * 1024);
    }
    const uploads = service.requests.filter(({ records }) => records.length > 0);
    expect(Math.max(...uploads.flatMap(({ records }) => records.map(({ body }) => body.length)))).toBeGreaterThan(6000);
    const sizes = uploads.map((request) => toBinary(SyncGuardRequestSchema, request).length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(LIMITS.messageBytes);
    // Few large ones, and as many small ones as are allowed.
    expect(Math.min(...uploads.map(({ records }) => records.length))).toBeLessThan(100);
    expect(Math.max(...uploads.map(({ records }) => records.length))).toBe(500);
  });

  test("asked for many times at once is one, or one more", async () => {
    const service = new Service();
    const started = sync(service);
    await Promise.all(Array.from({ length: 50 }, () => started.now()));
    expect(service.requests.length).toBeLessThanOrEqual(2);
  });

  test("with an answer that is nonsense changes nothing", async () => {
    const service = new Service();
    service.grants = [signing.grant(1)];
    const started = sync(service);
    await started.now();
    service.answer = (_, response) => {
      response.unverifiedGrants = ["x", "", "a.b.c"];
      response.serviceTime = create(SyncGuardResponseSchema, { serviceTime: { seconds: 2n ** 62n, nanos: -5 } })
        .serviceTime!;
      return response;
    };
    await started.now();
    expect(problem()).toBeNull();
  });
});

describe("by itself", () => {
  test("it syncs soon after its start, again and again, and drains a long journal without being asked", async () => {
    for (let made = 0; made < 3000; made++) journal.recordDeny(() => deny());
    await journal.recordBypass(bypass());
    const service = new Service();
    sync(service, { intervalMs: 50 });
    await expect.poll(() => journal.counts.unsynced).toBe(0);
    expect(service.recorded.size).toBe(3001);
    service.grants = [signing.grant(1)];
    await expect.poll(() => problem()).toBeNull();
  });

  test("it outlives an outage, and picks up where it was", async () => {
    const service = new Service();
    service.answer = () => new Error("unavailable");
    const started = sync(service, { intervalMs: 20 });
    await expect.poll(() => started.status.failures).toBeGreaterThan(3);
    const record = bypass();
    await journal.recordBypass(record);
    service.answer = (_, response) => response;
    await expect.poll(() => journal.counts.unsynced).toBe(0);
    expect(service.decisionIds).toEqual([record.decisionId]);
  });

  test("it stops when closed", async () => {
    const service = new Service();
    const started = sync(service, { intervalMs: 10 });
    await started.now();
    await started.close();
    const { length } = service.requests;
    await sleep(100);
    await started.now();
    expect(service.requests).toHaveLength(length);
  });

  test("it tells a service that knows its circuit that the guard ends, after it has uploaded what is left", async () => {
    const service = new Service();
    const started = sync(service);
    await started.now();
    journal.recordDeny(() => deny());
    await started.close();
    expect(
      service.requests.map(({ circuit, records, closing }) => [circuit !== undefined, records.length, closing]),
    ).toEqual([
      [true, 0, false],
      [false, 1, false],
      [false, 0, true],
    ]);
    expect(service.requests.at(-1)?.journalId).toBe(journal.id);
  });

  test("it takes leave of no service that never heard of it, or that does not answer any more", async () => {
    const service = new Service();
    await sync(service).close();
    expect(service.requests).toEqual([]);
    const started = sync(service);
    await started.now();
    service.answer = () => new Error("unavailable");
    await started.now();
    const { length } = service.requests;
    await started.close();
    expect(service.requests).toHaveLength(length);
  });

  test("a service that fails at the end keeps no guard from closing", async () => {
    const service = new Service();
    const started = sync(service);
    await started.now();
    journal.recordDeny(() => deny());
    service.answer = () => new Error("unavailable");
    await started.close();
    expect(started.status.lastError).toContain("unavailable");
    expect(journal.counts.unsynced).toBe(1);
  });

  test("without rounds it reports nothing, and uploads what is left at the end", async () => {
    const service = new Service();
    const started = sync(service, { rounds: false, intervalMs: 10 });
    journal.recordDeny(() => deny());
    await sleep(100);
    expect(service.requests).toEqual([]);
    await started.close();
    expect(service.requests.map(({ circuit, records }) => [circuit, records.length])).toEqual([[undefined, 1]]);
  });

  test("it does not keep a process alive", async () => {
    const script = `
      import { openGrantKeeper } from "./clients/typescript/src/grants/grants.ts";
      import { openJournal } from "./clients/typescript/src/journal/journal.ts";
      import { startSync } from "./clients/typescript/src/sync/sync.ts";
      import { systemClock as clock } from "./src/core/clock.ts";
      const parts = { dir: process.argv[1], agentId: "billing-1", clock };
      const [journal, grants] = [await openJournal(parts), await openGrantKeeper(parts)];
      const sync = startSync({ exchange: async () => { throw new Error("down") }, journal, grants, report: () => ({}), clock, random: () => 0 });
      await sync.now();
      console.log(sync.status.failures);`;
    const child = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", script, dir], {
      timeout: 20_000,
    });
    expect([child.status, child.stdout.toString()]).toEqual([0, "1\n"]);
  });
});

describe("the pace", () => {
  const rolls = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

  test("brings a grant within 10 s of its being set, also if one call is lost to its time-out", () => {
    fc.assert(
      fc.property(rolls, rolls, (roll, other) => {
        const [usual, soon] = [
          delayAfter({ failures: 0, isMore: false, intervalMs: 5000 }, roll),
          delayAfter({ failures: 1, isMore: false, intervalMs: 5000 }, other),
        ];
        expect(usual + TIMEOUT_MS + soon).toBeLessThan(10_000);
      }),
    );
  });

  test("spreads those who failed together, and does not quicken in an outage", () => {
    const delays = [0, 0.5, 1].map((roll) => delayAfter({ failures: 7, isMore: false, intervalMs: 5000 }, roll));
    expect(delays.map(Math.round)).toEqual([4000, 5000, 6000]);
  });
});

const redisUrl = inject("redisUrl");

async function shared(name = "http://service"): Promise<SharedGrants> {
  const link = new RedisLink(redisUrl ?? "", "datacrawl:test", Math.random, () => {});
  open.push(link);
  await expect.poll(() => link.ready).toBe(true);
  return redisGrants(link, `${name} ${dir}`, agentId);
}

/** A process on another machine that pinned the key before and lost touch with the service. */
async function elsewhere(): Promise<GrantKeeper> {
  const keeper = await openGrantKeeper({ dir: null, agentId, clock });
  await keeper.offer(signing.answer());
  return keeper;
}

describe.skipIf(redisUrl === null)("through Redis", () => {
  test("a grant and its revocation reach a guard that cannot reach the service", async () => {
    const [healthy, cutOff] = [new Service(), new Service()];
    cutOff.answer = () => new Error("unreachable");
    healthy.grants = [signing.grant(1)];
    const keeper = await elsewhere();
    const here = sync(healthy, { redis: await shared() });
    const there = sync(cutOff, { redis: await shared(), grants: keeper });
    await here.now();
    await there.now();
    expect(problem(keeper)).toBeNull();
    healthy.grants = [signing.revocation(2)];
    await here.now();
    await there.now();
    expect(problem(keeper)).toBe("the agent's grant was revoked");
  });

  test("a guard that is behind does not hide a newer order, nor does another service's", async () => {
    const [one, other] = [await shared(), await shared("http://other")];
    for (const epoch of [3, 9, 1, 7, 5, 2, 8]) await one.write({ token: `token ${10 - epoch}`, epoch });
    expect(await one.read()).toEqual([9, 8, 7, 5].map((epoch) => `token ${10 - epoch}`));
    expect(await other.read()).toEqual([]);
  });

  test("what Redis makes up is believed by nobody", async () => {
    const lying = await shared();
    await lying.write({ token: "x", epoch: 99 });
    await lying.write({ token: new SigningService(clock).grant(50), epoch: 50 });
    await lying.write({ token: signing.grant(1, { agentId: "billing-2" }), epoch: 40 });
    const service = new Service();
    service.answer = () => new Error("unreachable");
    const keeper = await elsewhere();
    await sync(service, { redis: lying, grants: keeper }).now();
    expect(problem(keeper)).toBe("there is no grant for this agent");
    expect(keeper.status.epoch).toBe(0);
  });

  test("no Redis at all changes nothing", async () => {
    const link = new RedisLink("redis://127.0.0.1:1", "datacrawl:test", Math.random, () => {});
    open.push(link);
    const gone = redisGrants(link, "http://service", agentId);
    const service = new Service();
    service.grants = [signing.grant(1)];
    const started = sync(service, { redis: gone });
    await started.now();
    expect(problem()).toBeNull();
    expect(started.status.failures).toBe(0);
  });

  test("a pinned key and a sound grant let a process that starts in an outage act, until the grant expires", async () => {
    await grants.offer(signing.answer());
    const redis = await shared();
    await redis.write({ token: signing.grant(3), epoch: 3 });
    const service = new Service();
    service.answer = () => new Error("unreachable");
    const late = await openGrantKeeper({ dir, agentId, clock });
    await sync(service, { redis, grants: late }).now();
    expect(problem(late)).toBeNull();
    clock.pass(hour);
    expect(problem(late)).toContain("expired");
  });
});
