import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { ExecutionRefusal, ExecutionState } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { type ExecutionRecord, isExecution, readBody } from "../../../../src/core/journal-format.ts";
import type { GuardStart } from "../../src/call/execution.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { openRig, type Rig, type RigOptions } from "../support/guard.ts";
import {
  allowing,
  type AskedReport,
  type AskedStart,
  fail,
  recording,
  reply,
  serveGrpc,
  startedBefore,
  starting,
  type TestService,
} from "../support/service.ts";

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

const DECISION = "0198c0de-0000-7000-8000-00000000c0de";
const EXECUTION = "0198c0de-0000-7000-8000-00000000e0e0";

interface Begun {
  readonly rig: Rig;
  readonly service: TestService;
  readonly nonces: string[];
}

async function rigOn(
  { begin, report }: { begin?: (asked: AskedStart) => void; report?: (asked: AskedReport) => void },
  options: Partial<RigOptions> = {},
): Promise<Begun> {
  const nonces: string[] = [];
  const service = await serveGrpc(({ stream, request }) => reply(stream, allowing(request)), {
    begin: (asked) => {
      nonces.push(Buffer.from(asked.request.nonce).toString("hex"));
      (begin ?? (({ stream, request }) => reply(stream, starting(request))))(asked);
    },
    ...(report !== undefined && { report }),
  });
  opened.push(() => service.stop());
  const rig = await openRig({ url: service.url, failures: 1, ...options });
  opened.push(() => rig.close());
  return { rig, service, nonces };
}

describe("a start", () => {
  test("is asked again with the same nonce where its answer was lost, and another start has another nonce", async () => {
    const { rig, nonces } = await rigOn({
      begin: ({ stream, request, number }) =>
        number === 1 ? stream.session?.destroy() : reply(stream, starting(request)),
    });
    expect(await rig.begin(DECISION)).toMatchObject({ state: "started", executionId: EXECUTION });
    expect(nonces).toHaveLength(2);
    expect(new Set(nonces).size).toBe(1);
    await rig.begin(DECISION);
    expect(new Set(nonces).size).toBe(2);
    expect(rig.breaker.snapshot.state).toBe("closed");
  });

  test.each<[string, (asked: AskedStart) => void, Partial<GuardStart>]>([
    [
      "another was first",
      ({ stream, request }) => reply(stream, starting(request, startedBefore)),
      { state: "already_started" },
    ],
    ["it is UNAVAILABLE", ({ stream }) => fail(stream, 14), { state: "refused", reason: "SERVICE_UNAVAILABLE" }],
    ["it is INTERNAL", ({ stream }) => fail(stream, 13), { state: "refused", reason: "SERVICE_UNAVAILABLE" }],
    ["it is UNIMPLEMENTED", ({ stream }) => fail(stream, 12), { state: "refused", reason: "SERVICE_UNAVAILABLE" }],
    ["it refuses the credential", ({ stream }) => fail(stream, 16), { state: "refused", reason: "REQUEST_REFUSED" }],
    ["it limits the rate", ({ stream }) => fail(stream, 8), { state: "refused", reason: "REQUEST_REFUSED" }],
    [
      "it answers another start",
      ({ stream, request }) => reply(stream, starting(request, { nonce: new Uint8Array(16) })),
      { state: "refused", reason: "MALFORMED_RESPONSE" },
    ],
    ["it says nothing", () => {}, { state: "refused", reason: "DEADLINE_EXCEEDED" }],
  ])("is none where %s", async (_, begin, expected) => {
    const { rig } = await rigOn({ begin });
    expect(await rig.begin(DECISION, { timeoutMs: 1200 })).toMatchObject({ decisionId: DECISION, ...expected });
  });

  test("that fails counts for the circuit as a verdict does, and an open circuit asks nothing", async () => {
    const { rig, nonces } = await rigOn({ begin: ({ stream }) => fail(stream, 13) });
    await rig.begin(DECISION);
    expect(rig.breaker.snapshot).toMatchObject({ state: "open", openedLocally: true });
    expect(await rig.begin(DECISION)).toMatchObject({ state: "refused", reason: "CIRCUIT_OPEN" });
    expect(nonces).toHaveLength(1);
  });

  test("that is refused does not count for the circuit", async () => {
    const { rig } = await rigOn({ begin: ({ stream }) => fail(stream, 7) });
    await rig.begin(DECISION);
    expect(rig.breaker.snapshot).toMatchObject({ state: "closed", consecutiveFailures: 0 });
  });

  test("of what is not a UUID is refused, and not asked", async () => {
    const { rig, nonces } = await rigOn({});
    for (const id of ["", "x", `${DECISION}\n`, null as never, {} as never])
      expect(await rig.begin(id)).toMatchObject({ state: "refused", reason: "REQUEST_REFUSED" });
    expect(nonces).toEqual([]);
  });

  test("that the caller cancels is refused", async () => {
    const { rig } = await rigOn({ begin: () => {} });
    const signal = AbortSignal.timeout(50);
    expect(await rig.begin(DECISION, { signal })).toMatchObject({ state: "refused", reason: "DEADLINE_EXCEEDED" });
  });

  test("that is refused because the agent is frozen keeps a bypass from acting", async () => {
    const frozen = {
      state: ExecutionState.REFUSED,
      reason: ExecutionRefusal.AGENT_FROZEN,
      executionId: "",
      startedBy: "",
    };
    const bare = { ...frozen, startedAt: undefined as never, reportDueAt: undefined as never };
    const { rig, service } = await rigOn({ begin: ({ stream, request }) => reply(stream, starting(request, bare)) });
    await rig.grant();
    expect(await rig.begin(DECISION)).toMatchObject({ state: "refused", reason: "AGENT_FROZEN" });
    await service.stop();
    await rig.ask();
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
  });
});

describe("a report", () => {
  const said = { decisionId: DECISION, executionId: EXECUTION, outcome: "succeeded" } as const;

  test("is recorded, also while the circuit is open, and is sent again if its answer was lost", async () => {
    const sent: unknown[] = [];
    const { rig } = await rigOn({
      report: ({ stream, request, number }) => {
        sent.push([request.outcome, request.errorCode, request.durationMs, request.summary]);
        if (number === 1) stream.session?.destroy();
        else reply(stream, recording(request));
      },
    });
    rig.breaker.force(true);
    const report = { ...said, errorCode: "HTTP_503", durationMs: 12, summary: "no" };
    expect(await rig.report(report)).toMatchObject({ state: "recorded", replayed: false });
    expect(sent).toEqual([
      [1, "HTTP_503", 12n, "no"],
      [1, "HTTP_503", 12n, "no"],
    ]);
  });

  test.each<[string, (asked: AskedReport) => void, string]>([
    ["is contradicted", ({ stream }) => fail(stream, 9), "REQUEST_REFUSED"],
    ["fails", ({ stream }) => fail(stream, 13), "SERVICE_UNAVAILABLE"],
    ["is not answered", () => {}, "DEADLINE_EXCEEDED"],
    [
      "is answered about another execution",
      ({ stream, request }) => reply(stream, recording({ ...request, executionId: DECISION })),
      "MALFORMED_RESPONSE",
    ],
    [
      "is answered about another outcome",
      ({ stream, request }) => reply(stream, recording({ ...request, outcome: 2 })),
      "MALFORMED_RESPONSE",
    ],
  ])("that %s is not recorded, and leaves the circuit alone", async (_, report, reason) => {
    const { rig } = await rigOn({ report });
    expect(await rig.report(said)).toMatchObject({ state: "not_recorded", reason });
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(0);
  });
});

describe("a report that the service does not take", () => {
  const said = { decisionId: DECISION, executionId: EXECUTION, outcome: "succeeded", durationMs: 3 } as const;
  const UNAVAILABLE = 14;

  test("is sent again as long as it has time", async () => {
    let sent = 0;
    const { rig } = await rigOn({
      report: ({ stream, request }) => {
        if (++sent < 5) fail(stream, UNAVAILABLE);
        else reply(stream, recording(request));
      },
    });
    expect(await rig.report(said, 20_000)).toMatchObject({ state: "recorded" });
    expect(sent).toBe(5);
  });

  test.each<[string, (asked: AskedReport) => void]>([
    ["is unavailable", ({ stream }) => fail(stream, UNAVAILABLE)],
    ["fails", ({ stream }) => fail(stream, 13)],
    ["does not answer", () => {}],
    ["has too much to do", ({ stream }) => fail(stream, 8)],
    ["does not know the credential", ({ stream }) => fail(stream, 16)],
  ])("as it %s, is kept, and sent once the service takes it, also by the next process", async (_, report) => {
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-reports-"));
    opened.push(() => rm(dir, { recursive: true }));
    const { rig } = await rigOn({ report }, { dir });
    expect(await rig.report(said)).toMatchObject({ state: "not_recorded", kept: true, reportRefusal: null });
    await rig.sendKept();
    expect(await readdir(join(dir, "agent-1", "reports"))).toHaveLength(1);
    const sent: unknown[] = [];
    const { rig: heir } = await rigOn(
      {
        report: ({ stream, request }) => {
          sent.push([request.decisionId, request.executionId, request.outcome, request.durationMs]);
          reply(stream, recording(request));
        },
      },
      { dir },
    );
    await heir.sendKept();
    await heir.sendKept();
    expect(sent).toEqual([[DECISION, EXECUTION, 1, 3n]]);
    expect(await readdir(join(dir, "agent-1", "reports"))).toEqual([]);
  });

  test.each([
    ["contradicted", 9, "OUTCOME_CONTRADICTED"],
    ["of an execution that nobody knows", 5, "EXECUTION_UNKNOWN"],
    ["not permitted", 7, null],
  ])("as it is %s, is not kept, nor is it if it was kept before", async (_, status, reportRefusal) => {
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-reports-"));
    opened.push(() => rm(dir, { recursive: true }));
    let answer = status;
    const { rig } = await rigOn({ report: ({ stream }) => fail(stream, answer) }, { dir });
    expect(await rig.report(said)).toMatchObject({ state: "not_recorded", kept: false, reportRefusal });
    answer = UNAVAILABLE;
    expect(await rig.report(said)).toMatchObject({ kept: true });
    answer = status;
    await rig.sendKept();
    expect(await readdir(join(dir, "agent-1", "reports"))).toEqual([]);
  });

  test("is kept once, and another one of its execution is not", async () => {
    const { rig } = await rigOn({ report: ({ stream }) => fail(stream, UNAVAILABLE) });
    expect(await rig.report(said)).toMatchObject({ kept: true });
    expect(await rig.report(said)).toMatchObject({ kept: true });
    expect(await rig.report({ ...said, outcome: "failed" })).toMatchObject({ kept: false });
  });

  test("is not kept without a directory, or where none can be made", async () => {
    const report = ({ stream }: AskedReport): void => fail(stream, UNAVAILABLE);
    expect(await (await rigOn({ report }, { disk: false })).rig.report(said)).toMatchObject({ kept: false });
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-reports-"));
    opened.push(() => rm(dir, { recursive: true }));
    const { rig } = await rigOn({ report }, { dir });
    await mkdir(join(dir, "agent-1"), { recursive: true });
    await writeFile(join(dir, "agent-1", "reports"), "in the way");
    expect(await rig.report(said)).toMatchObject({ state: "not_recorded", kept: false });
  });

  test("that a crash left half written is removed, as is one of another week", async () => {
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-reports-"));
    opened.push(() => rm(dir, { recursive: true }));
    const reports = join(dir, "agent-1", "reports");
    await mkdir(reports, { recursive: true });
    await writeFile(join(reports, `${DECISION}.${EXECUTION}`), "{");
    await writeFile(join(reports, `${EXECUTION}.${DECISION}`), JSON.stringify(said));
    const old = Date.now() / 1000 - 8 * 24 * 3600;
    await utimes(join(reports, `${EXECUTION}.${DECISION}`), old, old);
    let sent = 0;
    const { rig } = await rigOn({ report: () => void sent++ }, { dir });
    await rig.sendKept();
    expect([sent, await readdir(reports)]).toEqual([0, []]);
  });
});

describe("under a bypass", () => {
  async function bypassing(options: Partial<RigOptions> = {}): Promise<Rig> {
    const { rig, service } = await rigOn({}, options);
    // A second guard of a directory finds the grant there.
    if (rig.grants.newest === null) await rig.grant();
    await service.stop();
    await rig.ask({ idempotencyKey: "opens" });
    return rig;
  }
  const allowed = async (rig: Rig, idempotencyKey: string): Promise<string> => {
    const { reason, decisionId } = await rig.ask({ idempotencyKey });
    expect(reason).toBe("CIRCUIT_BYPASS");
    return decisionId;
  };

  test("a key is started once, however often it is allowed, and its end is kept", async () => {
    const rig = await bypassing();
    const [first, second] = [await allowed(rig, "k"), await allowed(rig, "k")];
    const start = await rig.begin(first);
    expect(start).toMatchObject({ state: "started", source: "guard", startedBy: rig.journal.id });
    for (const decisionId of [first, second])
      expect(await rig.begin(decisionId)).toMatchObject({ state: "already_started", end: null });
    const { executionId } = start as { executionId: string };
    const report = { decisionId: first, executionId, outcome: "failed" } as const;
    expect(await rig.report(report)).toMatchObject({ state: "recorded", replayed: false });
    expect(await rig.report(report)).toMatchObject({ state: "recorded", replayed: true });
    expect(await rig.report({ ...report, outcome: "succeeded" })).toMatchObject({ state: "not_recorded" });
    expect(await rig.begin(second)).toMatchObject({ state: "already_started", end: { outcome: "failed" } });
    expect(await rig.begin(await allowed(rig, "other"))).toMatchObject({ state: "started" });
  });

  test("a retry of the same start, by its nonce, is that start", async () => {
    const rig = await bypassing();
    const decisionId = await allowed(rig, "k");
    const nonce = new Uint8Array(16).fill(9);
    const start = await rig.begin(decisionId, {}, nonce);
    expect(await rig.begin(decisionId, {}, nonce)).toEqual(start);
    expect(await rig.begin(decisionId, {}, new Uint8Array(16))).toMatchObject({ state: "already_started" });
  });

  test("64 racers of two guards on one directory get one start", async () => {
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-starts-"));
    opened.push(() => rm(dir, { recursive: true }));
    const rigs = [await bypassing({ dir }), await bypassing({ dir })];
    const racers = await Promise.all(
      Array.from({ length: 64 }, async (_, n) => [rigs[n % 2]!, await allowed(rigs[n % 2]!, "k")] as const),
    );
    const starts = await Promise.all(racers.map(([rig, decisionId]) => rig.begin(decisionId)));
    expect(starts.filter(({ state }) => state === "started")).toHaveLength(1);
    expect(starts.filter(({ state }) => state === "already_started")).toHaveLength(63);
  });

  test("a start that a crash left half written is a start", async () => {
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-starts-"));
    opened.push(() => rm(dir, { recursive: true }));
    const rig = await bypassing({ dir });
    expect(await rig.begin(await allowed(rig, "k"))).toMatchObject({ state: "started" });
    const starts = join(dir, "agent-1", "starts");
    const [name = ""] = await readdir(starts);
    const whole = await readFile(join(starts, name));
    for (const length of [0, 1, whole.length - 1]) {
      await writeFile(join(starts, name), whole.subarray(0, length));
      expect(await rig.begin(await allowed(rig, "k"))).toMatchObject({
        state: "already_started",
        startedAt: null,
        end: null,
      });
    }
  });

  test("nothing is started that cannot be written, or after the grant was revoked", async () => {
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-starts-"));
    opened.push(() => rm(dir, { recursive: true }));
    const rig = await bypassing({ dir });
    const decisionId = await allowed(rig, "k");
    await writeFile(join(dir, "agent-1", "starts"), "in the way");
    expect(await rig.begin(decisionId)).toMatchObject({ state: "refused", reason: "CIRCUIT_OPEN" });
    await rm(join(dir, "agent-1", "starts"));
    await rig.revoke(2);
    expect(await rig.begin(decisionId)).toMatchObject({ state: "refused", reason: "CIRCUIT_OPEN" });
  });

  test("a decision that another guard made alone is the service's to refuse", async () => {
    const rig = await bypassing();
    expect(await rig.begin("0198c0de-0000-7000-8000-00000000dead")).toMatchObject({
      state: "refused",
      reason: "CIRCUIT_OPEN",
    });
  });

  const told = async (rig: Rig): Promise<ExecutionRecord[]> =>
    (await rig.journal.pending(500)).flatMap(({ body }) => {
      const record = readBody(body);
      return "kind" in record && isExecution(record) ? [record] : [];
    });

  test("the start and the end are in the journal by the time that the caller hears of them, once each", async () => {
    const rig = await bypassing();
    const decisionId = await allowed(rig, "k");
    const start = (await rig.begin(decisionId)) as { executionId: string; startedAt: number };
    const { executionId, startedAt } = start;
    const started = {
      kind: "bypass_start",
      decisionId,
      executionId,
      startedAt,
      idempotencyKey: "k",
      tool: "mail.send",
    };
    expect(await told(rig)).toMatchObject([{ ...started, startedBy: rig.journal.id }]);
    await rig.begin(decisionId);
    const report = { decisionId, executionId, outcome: "failed", errorCode: "", summary: "no", durationMs: 7 } as const;
    const { endedAt } = (await rig.report(report)) as { endedAt: number };
    await rig.report(report);
    await rig.starts.tellJournal();
    const ended = {
      ...started,
      kind: "bypass_end",
      outcome: "failed",
      endedAt,
      errorCode: null,
      summary: "no",
      durationMs: 7,
    };
    expect(await told(rig)).toMatchObject([started, ended]);
  });

  test("nothing is started of which the journal cannot be told, and the key stays free", async () => {
    let isFull = false;
    const wrapJournal = (journal: Journal): Journal =>
      Object.create(journal, {
        id: { value: journal.id },
        recordDeny: { value: journal.recordDeny.bind(journal) },
        pending: { value: journal.pending.bind(journal) },
        recordBypass: {
          value: async (record: Parameters<Journal["recordBypass"]>[0]) => {
            if (isFull) throw new Error("ENOSPC");
            await journal.recordBypass(record);
          },
        },
      }) as Journal;
    const rig = await bypassing({ wrapJournal });
    const decisionId = await allowed(rig, "k");
    isFull = true;
    expect(await rig.begin(decisionId)).toMatchObject({ state: "refused", reason: "CIRCUIT_OPEN" });
    isFull = false;
    expect(await told(rig)).toEqual([]);
    const start = (await rig.begin(decisionId)) as { executionId: string };
    // The end is kept, and the journal is told of it later.
    isFull = true;
    const report = { decisionId, executionId: start.executionId, outcome: "succeeded" } as const;
    expect(await rig.report(report)).toMatchObject({ state: "recorded" });
    expect((await told(rig)).map(({ kind }) => kind)).toEqual(["bypass_start"]);
    await rig.starts.tellJournal();
    isFull = false;
    await rig.starts.tellJournal();
    expect((await told(rig)).map(({ kind }) => kind)).toEqual(["bypass_start", "bypass_end"]);
  });

  test.each(["start", "end"] as const)(
    "the journal is told of the %s that a crash kept from it, by the next process",
    async (what) => {
      const dir = await mkdtemp(join(tmpdir(), "datacrawl-starts-"));
      opened.push(() => rm(dir, { recursive: true }));
      const rig = await bypassing({ dir });
      const decisionId = await allowed(rig, "k");
      const { executionId } = (await rig.begin(decisionId)) as { executionId: string };
      if (what === "end") await rig.report({ decisionId, executionId, outcome: "unknown" });
      const starts = join(dir, "agent-1", "starts");
      // As if it had died before it wrote the mark, and with it perhaps before it wrote the record.
      for (const name of await readdir(starts)) if (name.endsWith(`.${what}`)) await rm(join(starts, name));
      await writeFile(join(starts, "ab".repeat(32)), "{");
      const heir = await bypassing({ dir });
      await heir.starts.tellJournal();
      await heir.starts.tellJournal();
      expect(await told(heir)).toMatchObject([{ kind: `bypass_${what}`, executionId, startedBy: rig.journal.id }]);
    },
  );

  test("a retry of a start of which the journal was not told tells it first", async () => {
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-starts-"));
    opened.push(() => rm(dir, { recursive: true }));
    const rig = await bypassing({ dir });
    const [decisionId, nonce] = [await allowed(rig, "k"), new Uint8Array(16).fill(9)];
    await rig.begin(decisionId, {}, nonce);
    const starts = join(dir, "agent-1", "starts");
    for (const name of await readdir(starts)) if (name.endsWith(".start")) await rm(join(starts, name));
    await rig.begin(decisionId, {}, nonce);
    expect(await told(rig)).toMatchObject([{ kind: "bypass_start" }, { kind: "bypass_start" }]);
  });

  test("a key that was started is not started again through the service, once it is back, by any guard of the directory", async () => {
    const dir = await mkdtemp(join(tmpdir(), "datacrawl-starts-"));
    opened.push(() => rm(dir, { recursive: true }));
    const rig = await bypassing({ dir });
    expect(await rig.begin(await allowed(rig, "k"))).toMatchObject({ state: "started" });
    let begun = 0;
    const { rig: other } = await rigOn(
      {
        begin: ({ stream, request }) => {
          begun++;
          reply(stream, starting(request));
        },
      },
      { dir },
    );
    await other.starts.tellJournal();
    const decided = async (idempotencyKey: string): Promise<string> => {
      const { decision, decisionId } = await other.ask({ idempotencyKey });
      expect(decision).toBe("allow");
      return decisionId;
    };
    expect(await other.begin(await decided("k"))).toMatchObject({
      state: "already_started",
      source: "guard",
      end: null,
    });
    expect(begun).toBe(0);
    expect(await other.begin(await decided("other"))).toMatchObject({ state: "started", source: "service" });
  });
});
