import { fileURLToPath } from "node:url";
import { AGENT } from "../peers/question.ts";
import { run } from "../support/child.ts";

/** A credential of the right form, which nobody checks here. */
export function apiKeyOf(agentId: string): string {
  return `dc_agent_${agentId}_0123456789ab_${"c0".repeat(32)}`;
}

export const API_KEY = apiKeyOf(AGENT);

/** The last probe of an open circuit is due after the bench: what is measured is the open circuit alone. */
export const NO_PROBE_MS = 3_600_000;

/** Runs a program of this folder to its end, with `spec` as its argument, and reads what it prints as JSON. */
export async function runPart<Result>(part: "deny" | "caller", spec: object): Promise<Result> {
  const script = fileURLToPath(new URL(`${part}.ts`, import.meta.url));
  const args = [script, JSON.stringify(spec)];
  return JSON.parse(await run({ name: part, file: process.execPath, args })) as Result;
}
