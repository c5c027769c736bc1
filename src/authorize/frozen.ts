import type { Entry, Written } from "../audit/write/writer.ts";
import { type Judgement, judge } from "../core/decision.ts";
import { Fault } from "../core/fault.ts";

/** Records that a frozen agent's call is denied, whatever was decided before; by a row that claims nothing. */
export async function recordFrozen(
  writer: { record(entry: Entry, deadline: { readonly at: number }): Promise<Written | null> },
  agentId: string,
  entryOf: (judgement: Judgement) => Entry,
  deadline: { readonly at: number },
): Promise<Entry> {
  const entry = entryOf(judge("AGENT_FROZEN", `The agent ${agentId} is frozen.`));
  // A row without a claim has nothing to lose a race for.
  if ((await writer.record(entry, deadline)) === null)
    throw new Fault("INTERNAL", "The deny of a frozen agent's call was not recorded.");
  return entry;
}
