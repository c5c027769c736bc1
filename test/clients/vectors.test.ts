import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { vectorFiles } from "../../scripts/vectors.ts";

const DIR = "clients/vectors";
const files = vectorFiles();

describe("the vectors of the clients", () => {
  test.each([...files])("%s is what the TypeScript client makes", (name, text) => {
    expect(readFileSync(join(DIR, name), "utf8"), "run: node scripts/vectors.ts").toBe(text);
  });

  test("contain no file that the script does not make", () => {
    expect(readdirSync(DIR).filter((name) => name.endsWith(".json"))).toEqual([...files.keys()].sort());
  });

  test("reach every state of the circuit, every permit and every outcome", () => {
    const { sequences } = JSON.parse(files.get("circuit.json") ?? "") as {
      sequences: { events: { state: string; permit?: string; outcome?: string }[] }[];
    };
    const seen = (name: "state" | "permit" | "outcome"): string[] => [
      ...new Set(sequences.flatMap(({ events }) => events.flatMap((event) => event[name] ?? []))),
    ];
    expect(seen("state").sort()).toEqual(["closed", "half_open", "open", "recovering"]);
    expect(seen("permit").sort()).toEqual(["call", "denied", "probe"]);
    expect(seen("outcome").sort()).toEqual(["failure", "ignored", "success"]);
  });
});
