import { createHash } from "node:crypto";
import { MIGRATIONS } from "../../src/store/migrations/index.ts";

/** Names the layout of this version's database. */
export const LAYOUT = createHash("sha256").update(JSON.stringify(MIGRATIONS)).digest("hex").slice(0, 16);
