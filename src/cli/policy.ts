import { Command } from "commander";
import type { Io } from "./io.ts";

/** `datacrawl policy check|test|explain`: for those who write rules. Nothing here is recorded. */
export function policyCommand(_io: Io): Command {
  return new Command("policy").description("Check, test and explain the rules.");
}
