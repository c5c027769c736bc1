import { setTimeout as sleep } from "node:timers/promises";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { Command } from "commander";
import type { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import type { DecisionSummary } from "@datacrawl/proto/datacrawl/authz/v1/decisions_pb";
import { withAdmin } from "../admin-client.ts";
import { answersWithin } from "../admin-options.ts";
import { decisionCells, decisionJson } from "./decision.ts";
import { type FilterFlags, filterOf, withFilter } from "./decision-filter.ts";
import type { Io } from "../io.ts";
import { printable } from "../output.ts";

interface TailFlags extends FilterFlags {
  readonly json?: true;
}

const RETRY_MS = 1000;
/** A watch that resumes repeats the last minute; of that many decisions it is known which have been shown. */
const REMEMBERED = 20_000;
const WIDTHS = [27, 12, 22, 16, 24];

/** `datacrawl tail`. */
export function tailCommand(io: Io): Command {
  // The service says something every 5 seconds.
  return answersWithin("15s", withFilter(new Command("tail")))
    .option("--json", "print a JSON value a line for each")
    .addHelpText(
      "after",
      "\nReports on stderr when it loses the connection, and when it skips decisions because they come too fast.",
    )
    .action((flags: TailFlags) => withAdmin(io, (admin) => new Tail(io, admin, flags).follow(), true));
}

class Tail {
  readonly #io: Io;
  readonly #admin: Client<typeof AdminService>;
  readonly #flags: TailFlags;
  readonly #shown = new Set<string>();
  #resumeToken = "";
  #wasInTouch = false;
  #lost = false;

  constructor(io: Io, admin: Client<typeof AdminService>, flags: TailFlags) {
    this.#io = io;
    this.#admin = admin;
    this.#flags = flags;
  }

  /**
   * Resolves when nobody reads any more. Rejects with what trying again does not help against, and if the service cannot be followed
   * from the start; a touch that is lost later is made again.
   */
  async follow(): Promise<void> {
    while (!this.#io.outClosed.aborted) {
      try {
        await this.#watch();
      } catch (error) {
        if (this.#io.outClosed.aborted) return;
        const { code, rawMessage } = ConnectError.from(error);
        if (!this.#wasInTouch || FINAL.has(code)) throw error;
        // An hour has passed: that is how long a watch lasts.
        if (!this.#lost && code !== Code.DeadlineExceeded)
          this.#io.err(`Lost the connection: ${printable(rawMessage)}\n`);
        this.#lost ||= code !== Code.DeadlineExceeded;
        await sleep(RETRY_MS);
      }
    }
  }

  async #watch(): Promise<void> {
    const request = { decisions: filterOf(this.#flags), resumeToken: this.#resumeToken };
    for await (const message of this.#admin.watchAdmin(request, { signal: this.#io.outClosed })) {
      if (this.#lost) this.#io.err("In touch again.\n");
      this.#lost = false;
      this.#wasInTouch = true;
      this.#resumeToken = message.resumeToken;
      if (message.gap) this.#io.err("Decisions were skipped here: `datacrawl decision list` has them.\n");
      for (const decision of message.decisions) this.#show(decision);
    }
  }

  #show(decision: DecisionSummary): void {
    if (this.#shown.has(decision.decisionId)) return;
    this.#shown.add(decision.decisionId);
    for (const oldest of this.#shown) {
      if (this.#shown.size <= REMEMBERED) break;
      this.#shown.delete(oldest);
    }
    const line = this.#flags.json
      ? printable(JSON.stringify(decisionJson(decision)))
      : decisionCells(decision)
          .map((cell, column) => printable(cell).padEnd(WIDTHS[column] ?? 0))
          .join("  ");
    this.#io.out(`${line}\n`);
  }
}

const FINAL: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.Unimplemented,
  Code.NotFound,
]);
