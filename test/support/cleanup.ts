import { afterAll } from "vitest";
import { releaseOwned } from "./owned.ts";

// Registered before any hook of the file, so that it runs after all of them.
afterAll(releaseOwned);
