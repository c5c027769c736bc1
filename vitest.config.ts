import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{,clients/typescript/,conformance/}test/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    setupFiles: ["test/support/setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Every suite starts real servers; two cores carry two of them.
    maxWorkers: 2,
  },
});
