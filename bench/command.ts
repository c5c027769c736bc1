/**
 * `npm run bench:command`: what `datacrawl authorize` and `datacrawl hook` cost as whole processes, against a start of Node that does
 * nothing, in one run and interleaved. Starts and stops all it needs. See docs/benchmarks.md.
 */
import { join } from "node:path";
import { isoMicros, systemClock } from "../src/core/clock.ts";
import type { Figure } from "./report.ts";
import { run } from "./support/child.ts";
import { startEmbedded } from "./support/embedded.ts";
import { commit, describeGuardMachine } from "./support/machine.ts";
import { progress, runProgram } from "./support/program.ts";
import { median } from "./support/statistics.ts";

const USAGE = `Usage: npm run bench:command -- [--quick] [--json] [--write]

  --quick   three rounds: to see that all works
  --json    the results with every process on stdout instead of the table
  --write   put the table into docs/benchmarks.md
`;

const ROOT = join(import.meta.dirname, "..");
const EVENT = JSON.stringify({
  session_id: "bench",
  hook_event_name: "PreToolUse",
  tool_name: "mcp__gmail__send_email",
  tool_input: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
  tool_use_id: "call",
});
const NODE = "node -e 0";
/** The most that a command may cost beyond that, in milliseconds. */
const TARGET_MS = 150;

/** Milliseconds that one process took. */
interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

interface Row {
  readonly name: string;
  readonly costs: readonly Cost[];
}

interface CommandResults {
  readonly at: string;
  readonly commit: string;
  readonly machine: Record<string, string>;
  readonly rounds: number;
  readonly rows: readonly Row[];
}

async function measureAll(stack: AsyncDisposableStack, directory: string, rounds: number): Promise<CommandResults> {
  const at = isoMicros(systemClock.now());
  const service = await startEmbedded(stack, directory);
  const env = { DATACRAWL_URL: service.grpcUrl, DATACRAWL_API_KEY: service.agentKey };
  const places = [
    { place: "installed", command: service.command },
    { place: "checkout", command: join(ROOT, "bin/datacrawl.js") },
  ];
  const processes = [
    { name: NODE, line: `'${process.execPath}' -e 0` },
    { name: "node, with node:http2", line: `'${process.execPath}' -e 'require("node:http2")'` },
    ...places.flatMap(({ place, command }) => [
      {
        name: `authorize, ${place}`,
        line: `'${command}' authorize --tool gmail.send_email --payload '{"to":["ann@example.com"]}'`,
      },
      { name: `hook claude-code, ${place}`, line: `printf %s '${EVENT}' | '${command}' hook claude-code` },
    ]),
  ];
  const costs = new Map<string, Cost[]>(processes.map(({ name }) => [name, []]));
  // The first start of each compiles what later ones find.
  for (let round = -1; round < rounds; round += 1) {
    progress(round < 0 ? "once each, unmeasured" : `round ${round + 1} of ${rounds}`);
    for (const { name, line } of processes) {
      const cost = await measure(line, env);
      if (round >= 0) costs.get(name)?.push(cost);
    }
  }
  const { Redis: _, ...machine } = await describeGuardMachine();
  const rows = processes.map(({ name }) => ({ name, costs: costs.get(name) ?? [] }));
  return { at, commit: await commit(), machine, rounds, rows };
}

/** By the shell's own clock, of the process and its children. */
async function measure(line: string, env: Readonly<Record<string, string>>): Promise<Cost> {
  const timed = `TIMEFORMAT='%R %U %S'; { time { ${line}; } >/dev/null 2>&1; } 2>&1`;
  const printed = await run({ name: line, file: "bash", args: ["-c", timed], env });
  const [wall = Number.NaN, user = Number.NaN, system = Number.NaN] = printed.trim().split(" ").map(Number);
  return { wall: wall * 1000, cpu: (user + system) * 1000 };
}

const cpuOf = ({ costs }: Row): number => median(costs.map(({ cpu }) => cpu));
const wallOf = ({ costs }: Row): number => median(costs.map(({ wall }) => wall));

function figures({ rows }: CommandResults): Figure[] {
  const floor = rows.find(({ name }) => name === NODE);
  if (floor === undefined) return [];
  return rows
    .filter(({ name }) => name.includes(", installed"))
    .map((row) => ({
      name: `CPU of ${row.name}, beyond Node's own start`,
      value: cpuOf(row) - cpuOf(floor),
      unit: "ms",
      target: { atMost: TARGET_MS },
    }));
}

function markdown({ at, commit: source, machine, rounds, rows }: CommandResults): string {
  const described = Object.entries(machine).map(([name, what]) => `${name} ${what}`);
  const floor = rows.find(({ name }) => name === NODE) as Row;
  const head = ["process", "CPU", "beyond Node's start", "ratio", "from start to end", "beyond Node's start", "ratio"];
  const lines = rows.map((row) => {
    const parts = [cpuOf, wallOf].flatMap((of) => [
      `${Math.round(of(row))} ms`,
      row === floor ? "" : `${Math.round(of(row) - of(floor))} ms`,
      `${(of(row) / of(floor)).toFixed(1)} ×`,
    ]);
    return [row.name, ...parts];
  });
  const table = [head, head.map(() => "---"), ...lines].map((line) => `| ${line.join(" | ")} |`).join("\n");
  return `Measured ${at}, commit ${source}: ${described.join("; ")}. Medians of ${rounds} interleaved rounds.\n\n${table}`;
}

await runProgram<CommandResults>({
  usage: USAGE,
  marker: "command measured",
  filePrefix: "command-",
  measure: (stack, directory, { quick }) => measureAll(stack, directory, quick ? 3 : 21),
  figures,
  markdown,
  problem: ({ rows }) =>
    rows.some(({ costs }) => costs.some(({ cpu, wall }) => Number.isNaN(cpu + wall)))
      ? "a process was not measured"
      : null,
});
