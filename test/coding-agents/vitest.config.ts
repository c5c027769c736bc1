import { join } from "node:path";
import { defineConfig } from "vitest/config";

// Their own project, as the agents are not installed with the repository.
export default defineConfig({
  test: {
    root: join(import.meta.dirname, "../.."),
    include: ["test/coding-agents/*.test.ts"],
    setupFiles: ["test/support/setup.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
