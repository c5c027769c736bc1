// A process that keeps a journal, for tests that kill it or take its disk away.
// Arguments: directory, how many bypasses (each after the one before), how many denies before each. Prints a line for each
// outcome. Stays alive at the end, with its journal open, unless told to "close", or to "deny and end" without closing.
import { systemClock } from "../../../../src/core/clock.ts";
import { openJournal } from "../../src/journal/journal.ts";
import { agentId, bypass, deny } from "../support/journal-samples.ts";

const [dir = "", bypasses = "0", deniesBefore = "0", ending = "stay"] = process.argv.slice(2);
const journal = await openJournal({ dir, agentId, clock: systemClock });
process.stdout.write(`open ${journal.id}\n`);
for (let made = 0; made < Number(bypasses); made++) {
  for (let denied = 0; denied < Number(deniesBefore); denied++) journal.recordDeny(() => deny());
  const record = bypass();
  await journal.recordBypass(record).then(
    () => process.stdout.write(`kept ${record.decisionId}\n`),
    (error: unknown) => process.stdout.write(`failed ${record.decisionId} ${String(error)}\n`),
  );
}
if (ending === "deny and end") {
  const record = deny();
  journal.recordDeny(() => record);
  process.stdout.write(`denied ${record.decisionId}\n`);
}
process.stdout.write(`counts ${JSON.stringify(journal.counts)}\n`);
if (ending === "close") await journal.close();
else if (ending === "stay") setInterval(() => {}, 1000);
