import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const ALL = "{,clients/typescript/,conformance/}test/**/*.test.ts";
/** Suites that start services, kill them, and share nothing. */
const PROCESSES = "test/{e2e,faults,support}/**/*.test.ts";

/** The suites that take long begin first, so that the workers end together. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ project }: TestSpecification): boolean => project.name === "processes";
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

const each = { setupFiles: ["test/support/setup.ts"], testTimeout: 60_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    globalSetup: ["test/support/global-setup.ts"],
    // Every suite starts real servers; two cores carry two of them.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    tags: [{ name: "full", description: "left out of `npm test`, see CONTRIBUTING.md" }],
    experimental: { preParse: true },
    projects: [
      { test: { ...each, name: "processes", include: [PROCESSES] } },
      // One process runs many of these files: most of the time of each would be to load the same modules.
      { test: { ...each, name: "parts", include: [ALL], exclude: [PROCESSES], isolate: false } },
    ],
  },
});
