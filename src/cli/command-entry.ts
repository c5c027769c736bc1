import type { Command } from "commander";
import type { Io } from "./io.ts";

/** A command of `datacrawl`. Its module is loaded when it is called: most need a small part of the whole. */
export interface CommandEntry {
  readonly name: string;
  readonly description: string;
  readonly load: (io: Io) => Promise<Command>;
}

/** Commands under one heading of the help. */
export interface CommandGroup {
  readonly heading: string;
  readonly commands: readonly CommandEntry[];
}
