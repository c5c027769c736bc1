import { resultOf } from "../../clients/typescript/src/call/result.ts";
import { outcomeOfStatus, type RefusalCode, STATUSES } from "../../clients/typescript/src/call/outcome.ts";
import { createBreaker, type Permit, type Result, type Token } from "../../clients/typescript/src/circuit/breaker.ts";
import { timing } from "../../clients/typescript/src/circuit/config.ts";
import { randomOf } from "./random.ts";

const DEFAULTS = { failures: 5, probeAfterMs: 30_000, rampMs: 5_000 };

type Kind = Result["kind"];

interface PermitEvent {
  readonly at: number;
  readonly do: "permit";
  readonly roll: number;
  readonly permit: Permit["kind"];
  readonly retryInMs?: number;
  readonly state: string;
  readonly failures: number;
}

interface ReportEvent {
  readonly at: number;
  readonly do: "report";
  /** The index of the permit's event. */
  readonly of: number;
  readonly outcome: Kind;
  readonly roll: number;
  readonly state: string;
  readonly failures: number;
}

/** The client's own breaker, with the clock and the chance of a script, and what it did. */
class Scribe {
  readonly events: (PermitEvent | ReportEvent)[] = [];
  readonly #tokens = new Map<number, Token>();
  #now = 1_000;
  #roll = 0;
  readonly #breaker;

  constructor(config = DEFAULTS) {
    this.#breaker = createBreaker({
      service: "http://127.0.0.1:7440",
      agentId: "demo",
      config,
      clock: { now: () => 0, monotonic: () => this.#now },
      random: () => this.#roll,
    });
  }

  wait(milliseconds: number): this {
    this.#now += milliseconds;
    return this;
  }

  /** @returns the index of the event, for {@link report} */
  permit(roll = 0.5): number {
    this.#roll = roll;
    const permit = this.#breaker.permit();
    const index = this.events.length;
    if (permit.kind !== "denied") this.#tokens.set(index, permit.token);
    const retry = permit.kind === "denied" ? { retryInMs: permit.retryInMs } : {};
    this.events.push({ at: this.#now, do: "permit", roll, permit: permit.kind, ...retry, ...this.#state });
    return index;
  }

  report(of: number, outcome: Kind, roll = 0.5): this {
    this.#roll = roll;
    const token = this.#tokens.get(of);
    if (token === undefined) throw new Error(`event ${of} permitted nothing`);
    const result: Result = outcome === "failure" ? { kind: "failure", error: "it failed" } : { kind: outcome };
    this.#breaker.report(token, result);
    this.events.push({ at: this.#now, do: "report", of, outcome, roll, ...this.#state });
    return this;
  }

  call(outcome: Kind, times = 1): this {
    for (let done = 0; done < times; done++) this.report(this.permit(), outcome);
    return this;
  }

  get open(): readonly number[] {
    return [...this.#tokens.keys()];
  }

  get #state(): { readonly state: string; readonly failures: number } {
    const { state, consecutiveFailures } = this.#breaker.snapshot;
    return { state, failures: consecutiveFailures };
  }
}

type Script = (scribe: Scribe) => unknown;

const SCRIPTS: readonly (readonly [name: string, script: Script])[] = [
  ["four failures leave it closed", (s) => s.call("failure", 4).permit()],
  ["five failures open it", (s) => s.call("failure", 5).permit()],
  ["a success resets the count", (s) => s.call("failure", 4).call("success").call("failure", 4).permit()],
  ["what says nothing of the service resets nothing", (s) => s.call("failure", 4).call("ignored").call("failure")],
  ["what says nothing of the service counts nothing", (s) => s.call("ignored", 20).permit()],
  [
    "calls in flight count when they end",
    (s) => {
      const calls = [0, 1, 2, 3, 4].map(() => s.permit());
      for (const call of calls) s.wait(10).report(call, "failure");
    },
  ],
  [
    "a late result of a call before the opening changes nothing",
    (s) => {
      const early = s.permit();
      s.call("failure", 5).wait(100).report(early, "success").permit();
    },
  ],
  [
    "a repeated report changes nothing",
    (s) => {
      const call = s.permit();
      s.report(call, "failure")
        .report(call, "failure")
        .report(call, "failure")
        .report(call, "failure")
        .report(call, "failure");
    },
  ],
  [
    "it is open for 30 s, and then one call is the probe",
    (s) => {
      s.call("failure", 5).wait(29_999).permit();
      s.wait(1).permit();
      s.permit();
      s.wait(500).permit();
    },
  ],
  [
    "the 30 s are spread by a tenth: the shortest",
    (s) => {
      for (let done = 0; done < 5; done++) s.report(s.permit(), "failure", 0);
      s.wait(26_999).permit();
      s.wait(1).permit();
    },
  ],
  [
    "the 30 s are spread by a tenth: three quarters",
    (s) => {
      for (let done = 0; done < 5; done++) s.report(s.permit(), "failure", 0.75);
      s.wait(31_499).permit();
      s.wait(2).permit();
    },
  ],
  [
    "a probe that fails opens it again for 30 s",
    (s) => {
      s.call("failure", 5).wait(30_000);
      const probe = s.permit();
      s.wait(200).report(probe, "failure").wait(29_999).permit();
      s.wait(1).permit();
    },
  ],
  [
    "a probe that succeeds lets one call at a time pass, and all after 5 s",
    (s) => {
      s.call("failure", 5).wait(30_000).call("success");
      const one = s.permit(0.999);
      s.permit(0.999);
      s.report(one, "success").permit(0.999);
      s.wait(4_999).permit(0.999);
      s.wait(1).permit(0.999);
      s.permit(0.999);
    },
  ],
  [
    "the share of the ramp grows with time",
    (s) => {
      s.call("failure", 5).wait(30_000).call("success");
      s.permit(0);
      for (const roll of [0.1, 0.3, 0.5, 0.7, 0.9]) {
        s.permit(roll);
        s.wait(1_000).permit(roll);
      }
    },
  ],
  [
    "the first failure while it recovers opens it",
    (s) => {
      s.call("failure", 5).wait(30_000).call("success").call("failure").permit();
      s.wait(30_000).permit();
    },
  ],
  [
    "what says nothing of the service frees its place in the ramp",
    (s) => {
      s.call("failure", 5).wait(30_000).call("success");
      const call = s.permit(0.999);
      s.permit(0.999);
      s.report(call, "ignored").permit(0.999);
    },
  ],
  [
    "a call that the ramp let pass counts after the ramp",
    (s) => {
      s.call("failure", 5).wait(30_000).call("success");
      const call = s.permit();
      s.wait(5_000).permit();
      s.report(call, "failure").call("failure", 3).call("failure").permit();
    },
  ],
  [
    "a probe without a result is followed by another after 3 s",
    (s) => {
      s.call("failure", 5).wait(30_000);
      const probe = s.permit();
      s.wait(100).report(probe, "ignored").permit();
      s.wait(2_999).permit();
      s.wait(1).permit();
    },
  ],
  [
    "a probe that hangs is given up after its lease, and its result is too late",
    (s) => {
      s.call("failure", 5).wait(30_000);
      const lost = s.permit();
      s.wait(9_999).permit();
      s.wait(1);
      const second = s.permit();
      s.report(lost, "success").permit();
      s.wait(10).report(second, "success").permit();
    },
  ],
];

/** Any order of events: what a person would not think of. */
function randomScript(seed: number): Script {
  return (scribe) => {
    const random = randomOf(seed);
    const failing = random();
    for (let done = 0; done < 100; done++) {
      if (random() < 0.25) scribe.wait(Math.floor(10 ** (random() * 4.7)));
      const roll = Math.floor(random() * 1024) / 1024;
      const permits = scribe.open;
      if (random() < 0.5 || permits.length === 0) scribe.permit(roll);
      else {
        const recent = permits.slice(-6);
        const of = recent[Math.floor(random() * recent.length)] as number;
        const outcome = random() < 0.1 ? "ignored" : random() < failing ? "failure" : "success";
        scribe.report(of, outcome, roll);
      }
    }
  };
}

const CONFIGS = [
  DEFAULTS,
  DEFAULTS,
  { failures: 1, probeAfterMs: 1_000, rampMs: 5_000 },
  { failures: 2, probeAfterMs: 30_000, rampMs: 1_000 },
  { failures: 3, probeAfterMs: 10_000, rampMs: 5_000 },
];

export function circuitVectors() {
  const written = SCRIPTS.map(([name, script]) => ({ name, config: DEFAULTS, script }));
  const random = Array.from({ length: 15 }, (_, index) => ({
    name: `random order ${index + 1}`,
    config: CONFIGS[index % CONFIGS.length] ?? DEFAULTS,
    script: randomScript(index + 1),
  }));
  return {
    sequences: [...written, ...random].map(({ name, config, script }) => {
      const scribe = new Scribe(config);
      script(scribe);
      const { failures, probeAfterMs, rampMs, leaseMs } = timing(config);
      return { name, config: { failures, probeAfterMs, rampMs, leaseMs }, events: scribe.events };
    }),
    counts: counts(),
    statuses: STATUSES.filter((status) => status !== "OK").map((status) => {
      const failure = outcomeOfStatus(status, "");
      const code: RefusalCode | null = failure.kind === "refused" ? failure.refusal.code : null;
      return { status, number: STATUSES.indexOf(status), end: failure.kind, code };
    }),
  };
}

type End =
  | "answered"
  | "malformed"
  | "unavailable"
  | "failed"
  | "refused"
  | "unsent"
  | "cancelled"
  | "late"
  | "deadline";

/** How a call ended. */
interface How {
  readonly end: End;
  readonly probe: boolean;
  readonly tookMs: number;
  readonly failedBefore: boolean;
  readonly busy: boolean;
}

/** What a call counts as, by how it ended. */
function counts(): (How & { readonly counts: Kind })[] {
  const ends = ["answered", "malformed", "unavailable", "failed", "refused", "unsent", "cancelled"] as const;
  const plain = ends.flatMap((end) =>
    [false, true].map((probe) => ({ end, probe, tookMs: 2_000, failedBefore: false, busy: false })),
  );
  const timed = (["late", "deadline"] as const).flatMap((end) =>
    [999, 1_000].flatMap((tookMs) =>
      [false, true].flatMap((failedBefore) =>
        [false, true].map((busy) => ({ end, probe: false, tookMs, failedBefore, busy })),
      ),
    ),
  );
  return [...plain, ...timed].map((how) => ({ ...how, counts: countOf(how) }));
}

function countOf({ end, probe, tookMs, failedBefore, busy }: How): Kind {
  const token: Token = { generation: { epoch: 0, count: 0 } };
  const permit: Permit = probe ? { kind: "probe", token, leaseMs: 1 } : { kind: "call", token };
  const final = finalOf(end, busy);
  return resultOf({ attempts: failedBefore ? 2 : 1, tookMs, failedBefore, final }, permit).kind;
}

function finalOf(end: End, busy: boolean): Parameters<typeof resultOf<{ readonly kind: "answered" }>>[0]["final"] {
  switch (end) {
    case "answered":
    case "cancelled":
      return { kind: end };
    case "deadline":
      return { kind: end, busy, heard: null };
    case "malformed":
      return { kind: end, problem: "", saysNo: false };
    case "refused": {
      const refusal = { code: "BAD_REQUEST", retryAfterMs: null } as const;
      return { kind: end, problem: "", final: true, ofAgent: false, refusal, status: "INVALID_ARGUMENT" };
    }
    case "unavailable":
    case "failed":
    case "unsent":
    case "late":
      return { kind: end, problem: "" };
  }
}
