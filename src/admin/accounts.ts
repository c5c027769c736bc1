import type { JsonObject } from "../core/json.ts";
import { type HashedEvent, makeEvent } from "../audit/row/event.ts";
import { type Passwords, passwordProblem } from "../authn/password.ts";
import { newTotpSecret, type TotpSeal, totpUri } from "../authn/totp.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import { nameProblem, OPERATOR_NAME } from "../core/names.ts";
import { invalid } from "./checks.ts";
import type { OperatorView, AccountChange, SqlOperatorStore } from "../store/operators.ts";
import type { Role } from "../authn/role.ts";

export interface AccountPorts {
  readonly accounts: SqlOperatorStore;
  readonly passwords: Passwords;
  readonly totpSeal: TotpSeal;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

/** Local accounts. Each change is committed with its event, which never holds a secret. */
export class AccountOperations {
  readonly #ports: AccountPorts;

  constructor(ports: AccountPorts) {
    this.#ports = ports;
  }

  /** @throws Fault FIELD_INVALID, OPERATOR_EXISTS */
  async create(name: string, role: Role, password: string, actor: string): Promise<OperatorView> {
    const problem = nameProblem(name, "operator");
    if (problem !== null) throw invalid("name", problem);
    const passwordHash = await this.#hash(password);
    const event = this.#event("operator.added", actor, name, { role });
    const made = await this.#ports.accounts.create(name, role, passwordHash, event);
    if (made === null) {
      throw new Fault(
        "OPERATOR_EXISTS",
        `An operator ${name} exists or existed, and a name is never used twice: choose another.`,
      );
    }
    return made;
  }

  /** By name, those after `after`, and whether there are more. */
  async list(after: string, limit: number): Promise<{ operators: OperatorView[]; more: boolean }> {
    const operators = await this.#ports.accounts.list(after, limit + 1);
    return { operators: operators.slice(0, limit), more: operators.length > limit };
  }

  /** Null if there is none. */
  async find(name: string): Promise<OperatorView | null> {
    return await this.#ports.accounts.find(name);
  }

  async remove(name: string, actor: string): Promise<OperatorView> {
    return await this.#change(name, { removed: true }, this.#event("operator.removed", actor, name, {}));
  }

  async setRole(name: string, role: Role, actor: string): Promise<OperatorView> {
    return await this.#change(name, { role }, this.#event("operator.role_set", actor, name, { role }));
  }

  async setPassword(name: string, password: string, actor: string): Promise<OperatorView> {
    const passwordHash = await this.#hash(password);
    return await this.#change(name, { passwordHash }, this.#event("operator.password_set", actor, name, {}));
  }

  /** @returns also the secret, as a URI that nobody can show again */
  async enableTotp(name: string, actor: string): Promise<{ operator: OperatorView; uri: string }> {
    const secret = newTotpSecret();
    const change = { totpSecret: this.#ports.totpSeal.seal(name, secret) };
    const operator = await this.#change(name, change, this.#event("operator.totp_enabled", actor, name, {}));
    return { operator, uri: totpUri(name, secret) };
  }

  async disableTotp(name: string, actor: string): Promise<OperatorView> {
    return await this.#change(name, { totpSecret: null }, this.#event("operator.totp_disabled", actor, name, {}));
  }

  async #hash(password: string): Promise<string> {
    const problem = passwordProblem(password);
    if (problem !== null) throw invalid("password", problem);
    return await this.#ports.passwords.hash(password);
  }

  async #change(name: string, change: AccountChange, event: HashedEvent): Promise<OperatorView> {
    const changed = await this.#ports.accounts.change(name, change, event);
    if (changed === null) throw new Fault("OPERATOR_UNKNOWN", `There is no operator ${name.slice(0, 63)}.`);
    return changed;
  }

  #event(kind: string, actor: string, subject: string, detail: JsonObject): HashedEvent {
    // What is no name is no account's, and its event is never written; it need not even be text.
    const named = OPERATOR_NAME.test(subject) ? subject : "-";
    return makeEvent({ kind, actor, subject: named, detail }, this.#ports.now(), this.#ports.random);
  }
}
