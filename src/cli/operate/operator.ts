import { Command, Option } from "commander";
import { type Operator, OperatorRole, OperatorRoleSchema } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { UsageError } from "../../core/fault.ts";
import { lineOf, withAdmin } from "../admin-client.ts";
import type { Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { allPages } from "../pages.ts";
import { timeText } from "../timestamp-text.ts";

const ROLES = {
  viewer: OperatorRole.VIEWER,
  reviewer: OperatorRole.REVIEWER,
  operator: OperatorRole.OPERATOR,
} as const;
type RoleName = keyof typeof ROLES;

interface JsonFlag {
  readonly json?: true;
}

/** `datacrawl operator add|list|remove|set-role|set-password|totp`. */
export function operatorCommand(io: Io): Command {
  const command = new Command("operator");
  const leaf = (name: string, description: string): Command =>
    command.command(name).description(description).argument("<name>").option("--json", "print the account");

  leaf("add", "Add an account; the password is asked for at the terminal.")
    .addOption(roleOption())
    .action(async (name: string, flags: JsonFlag & { readonly role: RoleName }) => {
      const password = await newPassword(io, name);
      const { operator } = await withAdmin(io, (admin) =>
        admin.createOperator({ name, role: ROLES[flags.role], password }),
      );
      tell(io, operator, flags, `Added ${name} as ${flags.role}.`);
    });

  command
    .command("list")
    .description("List all accounts.")
    .option("--json", "print a list of accounts")
    .action(async (flags: JsonFlag) => {
      const operators = await withAdmin(io, (admin) =>
        allPages(
          (page) => admin.listOperators(page),
          (listed) => listed.operators,
        ),
      );
      if (flags.json) return outJson(io, operators.map(jsonOf));
      const rows = operators
        .map(jsonOf)
        .map(({ name, role, totp, createdAt }) => [name, role, totp ? "yes" : "no", createdAt]);
      outTable(io, ["NAME", "ROLE", "TOTP", "CREATED"], rows);
    });

  leaf("remove", "Remove an account permanently, and end its sessions.").action(
    async (name: string, flags: JsonFlag) => {
      const { operator } = await withAdmin(io, (admin) => admin.removeOperator({ name }));
      tell(io, operator, flags, `Removed ${name}.`);
    },
  );

  leaf("set-role", "Change what an account may do.")
    .addOption(roleOption())
    .action(async (name: string, flags: JsonFlag & { readonly role: RoleName }) => {
      const { operator } = await withAdmin(io, (admin) => admin.setOperatorRole({ name, role: ROLES[flags.role] }));
      tell(io, operator, flags, `${name} is a ${flags.role} now.`);
    });

  leaf("set-password", "Set a new password and end the account's sessions.").action(
    async (name: string, flags: JsonFlag) => {
      const password = await newPassword(io, name);
      const { operator } = await withAdmin(io, (admin) => admin.setOperatorPassword({ name, password }));
      tell(io, operator, flags, `The password of ${name} is set; its sessions have ended.`);
    },
  );

  return command.addCommand(totpCommand(io));
}

function totpCommand(io: Io): Command {
  const totp = new Command("totp").description("One-time codes (RFC 6238) as a second factor.");
  totp
    .command("enable")
    .description(
      "Make a secret and print it for an authenticator app; it is shown only now. Ends the account's sessions.",
    )
    .argument("<name>")
    .option("--json", 'print {"name", "uri"}')
    .action(async (name: string, flags: JsonFlag) => {
      const { uri } = await withAdmin(io, (admin) => admin.enableOperatorTotp({ name }));
      if (flags.json) return outJson(io, { name, uri });
      io.err(`Signing in as ${name} needs a code from now on. For the authenticator app, as text or as a QR code:\n`);
      io.out(`${uri}\n`);
    });
  totp
    .command("disable")
    .description("Remove the second factor. Ends the account's sessions.")
    .argument("<name>")
    .option("--json", "print the account")
    .action(async (name: string, flags: JsonFlag) => {
      const { operator } = await withAdmin(io, (admin) => admin.disableOperatorTotp({ name }));
      tell(io, operator, flags, `Signing in as ${name} needs only the password.`);
    });
  return totp;
}

function roleOption(): Option {
  return new Option("--role <role>", "what the account may do").choices(Object.keys(ROLES)).makeOptionMandatory();
}

async function newPassword(io: Io, name: string): Promise<string> {
  if (io.adminFlags().passwordStdin) return lineOf(await io.readInput());
  const password = await io.askSecret(`New password of ${name}: `);
  if (password !== (await io.askSecret("Once more: "))) throw new UsageError(["the two passwords differ"]);
  return password;
}

function tell(io: Io, operator: Operator | undefined, flags: JsonFlag, sentence: string): void {
  if (operator === undefined) return;
  if (flags.json) outJson(io, jsonOf(operator));
  else io.out(`${printable(sentence)}\n`);
}

function jsonOf({ name, role, totp, createdAt }: Operator) {
  return {
    name,
    role: wordOf(OperatorRoleSchema, role).toLowerCase(),
    totp,
    createdAt: timeText(createdAt),
  };
}
