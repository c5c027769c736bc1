import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError, Option } from "commander";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { DecisionFilterSchema } from "@datacrawl/proto/datacrawl/authz/v1/decisions_pb";
import type { Micros } from "../../core/clock.ts";
import { parseTime } from "../parse.ts";

/** The flags of {@link withFilter}. */
export interface FilterFlags {
  readonly agent?: string;
  readonly tool?: string;
  readonly decision: readonly Decision[];
  readonly reason: readonly Reason[];
  readonly source?: Source;
  readonly since?: Micros;
  readonly until?: Micros;
  readonly text?: string;
  readonly grant?: string;
  readonly principal?: string;
  readonly session?: string;
  readonly unresolved?: true;
}

/** Adds the flags that say which decisions. */
export function withFilter(command: Command): Command {
  return command
    .option("--agent <id>", "of this agent")
    .option("--tool <name>", 'of this tool; "gmail.*" for all that begin with gmail.')
    .addOption(several("--decision <word>", `${words(Decision)}; may be repeated`, Decision))
    .addOption(several("--reason <word>", "such as RULE_DENIED or CIRCUIT_OPEN; may be repeated", Reason))
    .option("--source <word>", "who decided: service or guard", (word) => numberOf(Source, word))
    .option("--since <time>", "recorded since: a date, a time, or how long ago, such as 4h or 7d", parseTime)
    .option("--until <time>", "recorded before", parseTime)
    .option("--text <text>", "occurs in the message, the idempotency key or the rule's id")
    .option("--grant <id>", "allowed by this bypass grant")
    .option("--principal <name>", "on whose behalf the agent acted, as it claimed or as its token said")
    .option("--session <id>", "of this run or conversation");
}

export function filterOf(flags: FilterFlags): MessageInitShape<typeof DecisionFilterSchema> {
  return {
    agentId: flags.agent ?? "",
    tool: flags.tool ?? "",
    decisions: [...flags.decision],
    reasons: [...flags.reason],
    source: flags.source ?? Source.UNSPECIFIED,
    ...(flags.since === undefined ? {} : { recordedFrom: timestampFromMs(flags.since / 1000) }),
    ...(flags.until === undefined ? {} : { recordedTo: timestampFromMs(flags.until / 1000) }),
    text: flags.text ?? "",
    grantId: flags.grant ?? "",
    principal: flags.principal ?? "",
    sessionId: flags.session ?? "",
    unresolvedExecution: flags.unresolved === true,
  };
}

type Numbers = Readonly<Record<string, string | number>>;

/** A flag that may be repeated; without it every value counts. */
function several(flags: string, description: string, numbers: Numbers): Option {
  return new Option(flags, description).argParser(oneOf(numbers)).default([], "any");
}

function oneOf<Value extends number>(numbers: Numbers): (word: string, previous: readonly Value[]) => Value[] {
  return (word, previous) => [...previous, numberOf(numbers, word) as Value];
}

function numberOf(numbers: Numbers, word: string): number {
  const value = numbers[word.toUpperCase().replaceAll("-", "_")];
  if (typeof value === "number" && value !== 0) return value;
  throw new InvalidArgumentError(`Write one of ${words(numbers)}.`);
}

function words(numbers: Numbers): string {
  const names = Object.entries(numbers).filter(([, value]) => typeof value === "number" && value !== 0);
  return names.map(([name]) => name.toLowerCase()).join(", ");
}
