/** Of each test file. */
import fc from "fast-check";
import { afterAll } from "vitest";
import { SEED } from "./chance.ts";
import { releaseOwned } from "./owned.ts";

fc.configureGlobal({ seed: SEED });

// Registered before any hook of the file, so that it runs after all of them.
afterAll(releaseOwned);
