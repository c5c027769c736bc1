import { create } from "@bufbuild/protobuf";
import { type Operator, OperatorRole, OperatorSchema } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import type { PageTokens } from "../../admin/page-tokens.ts";
import type { AccountOperations } from "../../admin/accounts.ts";
import { invalid } from "../../admin/checks.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";
import type { OperatorView } from "../../store/operators.ts";
import type { Role } from "../../authn/role.ts";

type OperatorMethods = Pick<
  AdminMethods,
  | "createOperator"
  | "listOperators"
  | "removeOperator"
  | "setOperatorRole"
  | "setOperatorPassword"
  | "enableOperatorTotp"
  | "disableOperatorTotp"
>;

export function operatorMethods(accounts: AccountOperations, pages: PageTokens): OperatorMethods {
  return {
    async createOperator({ name, role, password }, { actor }) {
      return { operator: operatorMessage(await accounts.create(name, roleOf(role), password, actor)) };
    },
    async listOperators({ pageSize, pageToken }) {
      const after = (pages.open(pageToken, "operators") as string | null) ?? "";
      const { operators, more } = await accounts.list(after, pageLimit(pageSize));
      const last = more ? operators.at(-1) : undefined;
      return { operators: operators.map(operatorMessage), nextPageToken: pages.next(last?.name, "operators") };
    },
    async removeOperator({ name }, { actor }) {
      return { operator: operatorMessage(await accounts.remove(name, actor)) };
    },
    async setOperatorRole({ name, role }, { actor }) {
      return { operator: operatorMessage(await accounts.setRole(name, roleOf(role), actor)) };
    },
    async setOperatorPassword({ name, password }, { actor }) {
      return { operator: operatorMessage(await accounts.setPassword(name, password, actor)) };
    },
    async enableOperatorTotp({ name }, { actor }) {
      const { operator, uri } = await accounts.enableTotp(name, actor);
      return { operator: operatorMessage(operator), uri };
    },
    async disableOperatorTotp({ name }, { actor }) {
      return { operator: operatorMessage(await accounts.disableTotp(name, actor)) };
    },
  };
}

export const ROLE_MESSAGE = {
  viewer: OperatorRole.VIEWER,
  reviewer: OperatorRole.REVIEWER,
  operator: OperatorRole.OPERATOR,
} as const;

function roleOf(message: OperatorRole): Role {
  const roles = Object.keys(ROLE_MESSAGE) as Role[];
  const role = roles.find((candidate) => ROLE_MESSAGE[candidate] === message);
  if (role === undefined) throw invalid("role", "must be viewer, reviewer or operator");
  return role;
}

function operatorMessage({ name, role, totp, createdAt }: OperatorView): Operator {
  return create(OperatorSchema, { name, role: ROLE_MESSAGE[role], totp, createdAt: timestampOf(createdAt) });
}
