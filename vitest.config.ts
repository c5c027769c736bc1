import { readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const ALL = "{,clients/typescript/,conformance/}test/**/*.test.ts";
/** Suites that start services, kill them, and share nothing. */
const PROCESSES = "test/{e2e,faults,support}/**/*.test.ts";
/** Suites that build a client in another language, and have its own tests and the conformance kit ask real services. */
const CLIENTS = "test/clients/{go,java,python,python-integrations}.test.ts";
/** Suites that run coding agents, which are not installed with the repository: test/coding-agents/test.sh. */
const CODING_AGENTS = "test/coding-agents/**";
/** What tests install for themselves, with tests of its own. */
const INSTALLED = "**/node_modules/**";

class Sequencer extends BaseSequencer {
  override shard(files: TestSpecification[]): Promise<TestSpecification[]> {
    return super.shard(this.#withTests(files));
  }

  /** The suites that take long begin first, so that the workers end together. */
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(this.#withTests(files));
    const isLong = ({ project }: TestSpecification): boolean => project.name === "processes";
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }

  /** Without the files in which the filter of tags leaves nothing: to find that out, vitest would load each of them. */
  #withTests(files: TestSpecification[]): TestSpecification[] {
    const wanted = this.ctx.config.tagsFilter?.join();
    const source = ({ moduleId }: TestSpecification): string => readFileSync(moduleId, "utf8");
    if (wanted === "!full") return files.filter((file) => !source(file).startsWith("// @module-tag full\n"));
    if (wanted === "full")
      return files.filter((file) => /^\/\/ @module-tag full\n|\btags: \["full"\]/.test(source(file)));
    return files;
  }
}

const each = {
  setupFiles: ["test/support/setup.ts"],
  testTimeout: 60_000,
  hookTimeout: 120_000,
  // What a test waits for comes late on a machine that is busy; vitest's second is too short.
  expect: { poll: { timeout: 20_000 } },
  // One process runs many of these files: to load the same modules for each would take as long as most of the tests.
  isolate: false,
  // Each of the embedded databases is used for seconds: to optimize it takes longer than it saves.
  execArgv: ["--liftoff-only"],
};

export default defineConfig({
  test: {
    globalSetup: ["test/support/global-setup.ts"],
    // Suites start real servers, and wait for them: three keep two cores busy.
    maxWorkers: 3,
    sequence: { sequencer: Sequencer },
    tags: [{ name: "full", description: "left out of `npm test`, see CONTRIBUTING.md" }],
    projects: [
      { test: { ...each, name: "processes", include: [PROCESSES] } },
      { test: { ...each, name: "clients", include: [CLIENTS] } },
      { test: { ...each, name: "parts", include: [ALL], exclude: [PROCESSES, CLIENTS, CODING_AGENTS, INSTALLED] } },
    ],
  },
});
