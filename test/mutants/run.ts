/**
 * `npm run mutants`: plants each bug of `table.ts` in a scratch copy of the tree, one at a time, runs the suites that should notice,
 * and prints which test caught it, after how long. Exit status 1 if one was not caught, or if an edit no longer applies.
 *
 *     npm run mutants -- [--only TEXT] [--check] [--json] [--write]
 *
 * `--only` takes the rows with TEXT in the safeguard or the file, `--check` looks only whether the edits still apply, and `--write` puts
 * the results into docs/reliability.md.
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { cleanEnv } from "../support/service.ts";
import { MUTANTS, type Mutant } from "./table.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const REPORT = join(ROOT, "docs/reliability.md");
/** Where npm links the workspaces, by paths that are relative. */
const WORKSPACES = "@datacrawl";
const RUN_TIMEOUT_MS = 300_000;

interface Outcome {
  readonly safeguard: string;
  readonly file: string;
  /** The test that failed; null if none did. */
  readonly caughtBy: string | null;
  /** From the start of the suites to their end, which the first failure is. */
  readonly seconds: number;
  /** Why the row is worth nothing; null if it is. */
  readonly problem: string | null;
}

/** How vitest's JSON reporter tells of a run, as far as it is read here. */
interface Report {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** A copy of the tree, in which files are edited and suites run. */
class ScratchTree {
  readonly #directory = mkdtempSync(join(tmpdir(), "datacrawl-mutants-"));
  readonly #env: Record<string, string>;

  constructor(env: Record<string, string>) {
    this.#env = env;
    const tracked = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: ROOT });
    const built = ["dist/dashboard"].filter((path) => existsSync(join(ROOT, path)));
    for (const path of [...tracked.stdout.toString().split("\0").filter(Boolean), ...built])
      if (existsSync(join(ROOT, path)))
        cpSync(join(ROOT, path), join(this.#directory, path), { recursive: true, preserveTimestamps: true });
    if (existsSync(join(ROOT, ".venv"))) symlinkSync(join(ROOT, ".venv"), join(this.#directory, ".venv"));
    this.#linkModules();
  }

  /** Installed packages are shared. The workspaces' own are the copies, or a bug in one would be planted where nobody looks. */
  #linkModules(): void {
    const [installed, linked] = [ROOT, this.#directory].map((tree) => join(tree, "node_modules")) as [string, string];
    mkdirSync(join(linked, WORKSPACES), { recursive: true });
    for (const name of readdirSync(installed).filter((one) => one !== WORKSPACES))
      symlinkSync(join(installed, name), join(linked, name));
    for (const name of readdirSync(join(installed, WORKSPACES)))
      symlinkSync(readlinkSync(join(installed, WORKSPACES, name)), join(linked, WORKSPACES, name));
  }

  /** Runs suites while a bug is planted. Null if they did not end in time. */
  runWith({ file, search, replace, suites }: Mutant): Report | null {
    const path = join(this.#directory, file);
    const text = readFileSync(path, "utf8");
    writeFileSync(
      path,
      text.replace(search, () => replace),
    );
    try {
      return this.run(suites);
    } finally {
      writeFileSync(path, text);
    }
  }

  /** Runs suites up to the first failure. Null if they did not end in time. */
  run(suites: readonly string[]): Report | null {
    const output = join(this.#directory, "report.json");
    rmSync(output, { force: true });
    const reporter = ["--reporter=json", `--outputFile=${output}`];
    const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
    spawnSync(process.execPath, [vitest, "run", "--bail=1", ...reporter, ...suites], {
      cwd: this.#directory,
      env: this.#env,
      timeout: RUN_TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    return existsSync(output) ? (JSON.parse(readFileSync(output, "utf8")) as Report) : null;
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Why an edit cannot be made; null if it can. */
function editProblem({ file, search, suites }: Mutant): string | null {
  const missing = [file, ...suites].find((path) => !existsSync(join(ROOT, path)));
  if (missing !== undefined) return `${missing} does not exist`;
  const found = readFileSync(join(ROOT, file), "utf8").split(search).length - 1;
  return found === 1 ? null : `the text to replace is in ${file} ${found} times, not once`;
}

function judge(mutant: Mutant, tree: ScratchTree): Outcome {
  const { safeguard, file } = mutant;
  const unmade = editProblem(mutant);
  if (unmade !== null) return { safeguard, file, seconds: 0, caughtBy: null, problem: unmade };
  const started = performance.now();
  const report = tree.runWith(mutant);
  const outcome = { safeguard, file, seconds: (performance.now() - started) / 1000, caughtBy: null };
  if (report === null) return { ...outcome, problem: `the suites did not end within ${RUN_TIMEOUT_MS / 1000} s` };
  const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = tests.find(({ status }) => status === "failed");
  if (failed !== undefined) return { ...outcome, caughtBy: failed.fullName, problem: null };
  // A bug that keeps a suite from loading says nothing about its tests.
  const broken = report.testResults.find(({ message }) => message !== "");
  if (broken !== undefined) return { ...outcome, problem: `a suite could not run: ${broken.message.split("\n")[0]}` };
  return { ...outcome, problem: tests.length === 0 ? "no test ran" : "NOT CAUGHT" };
}

/** What failed in a run, by name. */
function failuresOf(report: Report | null): string[] {
  if (report === null) return [`they did not end within ${RUN_TIMEOUT_MS / 1000} s`];
  return report.testResults.flatMap(({ name, message, assertionResults }) => [
    ...(message === "" ? [] : [`${name}: ${message}`]),
    ...assertionResults.filter(({ status }) => status === "failed").map(({ fullName }) => fullName),
  ]);
}

function table(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(
    ({ safeguard, file, caughtBy, seconds, problem }) =>
      `| ${safeguard} | \`${file}\` | ${caughtBy ?? `**${problem}**`} | ${seconds.toFixed(1)} s |`,
  );
  return ["| safeguard removed | in | caught by | after |", "|---|---|---|---|", ...rows].join("\n");
}

/** Replaces what stands between the two marks. */
function writeReport(outcomes: readonly Outcome[]): void {
  const [begin, end] = ["<!-- mutants -->", "<!-- /mutants -->"];
  const text = readFileSync(REPORT, "utf8");
  const [before, after] = [text.split(begin)[0], text.split(end)[1]];
  const machine = `${outcomes.length} bugs, on ${cpus().length} cores. A run of vitest takes a second or two to begin.`;
  writeFileSync(REPORT, `${before}${begin}\n\n${table(outcomes)}\n\n${machine}\n\n${end}${after}`);
}

/** Plants each bug in turn. @throws if the suites fail without any */
async function plant(chosen: readonly Mutant[], say: (line: string) => void): Promise<Outcome[]> {
  // The suites share one server of each kind: to start them for each bug would take longer than most suites.
  const [postgres, redis] = [await startPostgres(), await startRedis()];
  const tree = new ScratchTree(
    cleanEnv({
      ...(postgres === null ? {} : { TEST_DATABASE_URL: postgres.url }),
      ...(redis === null ? {} : { TEST_REDIS_URL: redis.url }),
    }),
  );
  try {
    const suites = [...new Set(chosen.flatMap((mutant) => mutant.suites))].filter((path) =>
      existsSync(join(ROOT, path)),
    );
    say(`without a bug: ${suites.length} suites`);
    const sound = tree.run(suites);
    if (sound?.success !== true) throw new Error(`the suites fail without any bug: ${failuresOf(sound).join("; ")}`);
    return chosen.map((mutant) => {
      const outcome = judge(mutant, tree);
      say(`${outcome.seconds.toFixed(1).padStart(6)} s  ${mutant.safeguard}: ${outcome.caughtBy ?? outcome.problem}`);
      return outcome;
    });
  } finally {
    tree.remove();
    await postgres?.stop();
    await redis?.stop();
  }
}

const { values: flags } = parseArgs({
  options: {
    only: { type: "string" },
    check: { type: "boolean" },
    json: { type: "boolean" },
    write: { type: "boolean" },
  },
});
const chosen = MUTANTS.filter(({ safeguard, file }) => `${safeguard} ${file}`.includes(flags.only ?? ""));
const say = (line: string): void => void (flags.json ? process.stderr : process.stdout).write(`${line}\n`);
if (flags.check) {
  const problems = chosen.flatMap((mutant) => {
    const problem = editProblem(mutant);
    return problem === null ? [] : [`${mutant.safeguard}: ${problem}`];
  });
  for (const problem of problems) say(problem);
  say(`${chosen.length - problems.length} of ${chosen.length} edits apply`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} else {
  const outcomes = await plant(chosen, say);
  if (flags.json) process.stdout.write(`${JSON.stringify(outcomes, null, 2)}\n`);
  if (flags.write) writeReport(outcomes);
  const caught = outcomes.filter(({ problem }) => problem === null);
  say(`${caught.length} of ${outcomes.length} bugs were caught`);
  process.exitCode = caught.length === outcomes.length ? 0 : 1;
}
