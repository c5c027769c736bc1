import { expect, test } from "vitest";
import { openRig } from "../../clients/typescript/test/support/guard.ts";
import { allowing, reply, serveGrpc } from "../../clients/typescript/test/support/service.ts";
import { systemClock } from "../../src/core/clock.ts";
import { RandomPool } from "../../src/core/ids.ts";
import { isExecution, readBody } from "../../src/core/journal-format.ts";
import { Gate } from "../../src/mcp/gate.ts";
import { Runs } from "../../src/mcp/runs.ts";

const SEND = { tool: "send", payload: { to: "ann" } };

test("under a bypass the journal has the start of an MCP call before it is forwarded, and then its end", async () => {
  const service = await serveGrpc(({ stream, request }) => reply(stream, allowing(request)));
  const rig = await openRig({ url: service.url, failures: 1 });
  await rig.grant();
  await service.stop();
  const recorded = async (): Promise<unknown[]> =>
    (await rig.journal.pending(500))
      .map(({ body }) => readBody(body))
      .filter((one) => "kind" in one && isExecution(one));

  const parts = { clock: systemClock, timeoutMs: 4000 };
  const warnings: string[] = [];
  const warn = (problem: string): unknown => warnings.push(problem);
  const runs = new Runs({ ...parts, guard: { report: (report) => rig.report(report) }, warn });
  const gate = new Gate({
    ...parts,
    runs,
    once: true,
    server: "mail",
    reviewWaitMs: 0,
    random: new RandomPool(),
    guard: {
      authorize: (request, call) => rig.ask(request, call),
      begin: ({ decisionId, nonce }, call) => rig.begin(decisionId, call, nonce),
      waitForReview: () => Promise.reject(new Error("nothing is under review")),
    },
  });
  const idle = { signal: new AbortController().signal };
  // This one opens the circuit.
  expect((await gate.decide(SEND, idle)).decision).toBe("deny");
  const verdict = await gate.decide(SEND, idle);
  expect(verdict).toMatchObject({ decision: "allow", reason: "CIRCUIT_BYPASS" });

  const start = await gate.start(SEND, verdict);
  expect(await recorded()).toMatchObject([{ kind: "bypass_start", decisionId: verdict.decisionId }]);
  if (start.state !== "started") throw new Error(`it was not started: ${start.message}`);
  start.run.end({ outcome: "failed", errorCode: "TOOL_ERROR" });
  await runs.settled();
  expect((await recorded()).at(-1)).toMatchObject({ kind: "bypass_end", outcome: "failed", errorCode: "TOOL_ERROR" });

  const [again, next] = [await gate.start(SEND, verdict), await gate.start(SEND, await gate.decide(SEND, idle))];
  expect([again.state, next.state, warnings]).toEqual(["already_started", "started", []]);
  await rig.close();
});
