import { defineConfig } from "vitest/config";

// Their own project, as the frameworks are not installed with the repository.
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/temporary.ts"],
    maxWorkers: 2,
    testTimeout: 60_000,
    env: { OPENAI_AGENTS_DISABLE_TRACING: "1" },
  },
});
