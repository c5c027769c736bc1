import type { AccountOperations } from "../../admin/accounts.ts";
import type { AgentDirectory } from "../../authn/directory.ts";
import { nameProblem } from "../../core/names.ts";

const PAGE = 500;
/** Warnings that are shown; the rest is counted. */
const MOST = 20;

/**
 * Agents and accounts of names that nobody would be given now, since they could be taken for another's. Older versions gave them, so
 * their number only falls.
 */
export class UnfitNames {
  readonly #directory: Pick<AgentDirectory, "agentIds">;
  readonly #accounts: Pick<AccountOperations, "list">;
  #warnings: readonly string[] = [];

  constructor(directory: Pick<AgentDirectory, "agentIds">, accounts: Pick<AccountOperations, "list">) {
    this.#directory = directory;
    this.#accounts = accounts;
  }

  /** For operators, as of the last {@link look}. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  async look(): Promise<readonly string[]> {
    const agents = this.#directory.agentIds().filter((id) => nameProblem(id, "agent") !== null);
    const accounts = (await this.#names()).filter((name) => nameProblem(name, "operator") !== null);
    const all = [
      ...agents.map(
        (id) => `the id of agent ${id} could be mistaken for another: create another agent, and revoke this one`,
      ),
      ...accounts.map(
        (name) =>
          `the name of operator ${name} could be mistaken for another, so it may only read: replace the account`,
      ),
    ];
    const more = all.length - MOST;
    this.#warnings = more > 0 ? [...all.slice(0, MOST), `${more} more names could be mistaken for others`] : all;
    return this.#warnings;
  }

  async #names(): Promise<string[]> {
    const names: string[] = [];
    for (let more = true; more; ) {
      const page = await this.#accounts.list(names.at(-1) ?? "", PAGE);
      names.push(...page.operators.map(({ name }) => name));
      more = page.more;
    }
    return names;
  }
}
