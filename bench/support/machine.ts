import { cpus, release, totalmem } from "node:os";
import { postgresBinaries } from "./stores.ts";
import { run } from "./child.ts";

/** What the service's figures depend on, by name. */
export async function describeMachine(): Promise<Record<string, string>> {
  return {
    ...(await describeGuardMachine()),
    Postgres: await version(`${postgresBinaries()}/postgres`, /\) ([\d.]+)/),
    Cerbos: "0.55.0",
  };
}

/** What a guard's figures depend on. */
export async function describeGuardMachine(): Promise<Record<string, string>> {
  return {
    CPU: `${cpus()[0]?.model ?? "unknown"} × ${cpus().length}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    Linux: release(),
    Node: process.versions.node,
    Redis: await version("redis-server", /v=([\d.]+)/),
  };
}

/** What a browser's figures depend on. */
export async function describeBrowserMachine(chromium: string): Promise<Record<string, string>> {
  const { Redis: _, ...machine } = await describeGuardMachine();
  return { ...machine, Chromium: await version(chromium, /Chromium ([\d.]+)/) };
}

/** The commit that is checked out, and whether the sources differ from it; "unknown" outside a repository. */
export async function commit(): Promise<string> {
  try {
    const changed = await git(
      "status",
      "--porcelain",
      "--",
      "../../src",
      "../../gen",
      "../../clients",
      "../../conformance",
    );
    return `${(await git("rev-parse", "--short", "HEAD")).trim()}${changed === "" ? "" : " with changes"}`;
  } catch {
    return "unknown";
  }
}

async function version(file: string, pattern: RegExp): Promise<string> {
  return pattern.exec(await run({ name: file, file, args: ["--version"] }))?.[1] ?? "of unknown version";
}

function git(...args: string[]): Promise<string> {
  return run({ name: "git", file: "git", args: ["-C", import.meta.dirname, ...args] });
}
