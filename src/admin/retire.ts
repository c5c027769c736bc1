import { makeEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import { UsageError } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import type { TrailMonth, RetiredMonth, SqlRetirement } from "../store/retirement.ts";

/**
 * Retires whole, sealed, exported months, the oldest first.
 *
 * @param withUnresolved also those of whose executions some have no outcome, which nobody can report or resolve afterwards
 * @returns the months, with the tables that are no part of the trail any more
 * @throws UsageError at the first month that may not be retired; those before it are
 */
export async function retireMonths(
  store: SqlRetirement,
  random: RandomPool,
  before: Micros,
  withUnresolved: boolean,
): Promise<{ month: string; tables: string[] }[]> {
  const retired: { month: string; tables: string[] }[] = [];
  for (const month of await store.monthsBefore(before)) {
    const checked = await check(store, month, withUnresolved);
    const { counts, exported } = checked;
    const detail = {
      month: month.month,
      decisions: counts.decisions,
      events: counts.events,
      exportSha256: exported.sha256,
      exportEventId: exported.eventId,
      ...(counts.openExecutions > 0 && { openExecutions: counts.openExecutions }),
    };
    const facts = { kind: "audit.month_retired", actor: "owner", subject: month.month, detail };
    // On record before it is done: a crash in between leaves a month that may be detached, and the next run detaches it.
    await store.record(checked, makeEvent(facts, await store.now(), random));
    retired.push({ month: month.month, tables: await store.detach(month) });
  }
  return retired;
}

async function check(store: SqlRetirement, month: TrailMonth, withUnresolved: boolean): Promise<RetiredMonth> {
  const name = month.month.slice(0, 7);
  const counts = await store.count(month);
  if (counts.unsealed > 0)
    throw new UsageError([
      `${name} has ${counts.unsealed} rows without a seal: run \`datacrawl audit seal\` and try again`,
    ]);
  if (counts.openExecutions > 0 && !withUnresolved)
    throw new UsageError([
      `${name} has ${counts.openExecutions} executions without an outcome, which nobody can report or resolve once it is retired: ` +
        "resolve them (`datacrawl execution list --unresolved`), or retire it --with-unresolved",
    ]);
  const exported = await store.newestExport(month);
  const how = `run \`datacrawl audit export --month ${name} --out FILE\`, with --with-payloads if they are to be kept, and keep the file`;
  if (exported === null) throw new UsageError([`no export of ${name} is on record: ${how}`]);
  if (exported.decisions !== counts.decisions || exported.events !== counts.events)
    throw new UsageError([
      `the newest export of ${name}, ${exported.fileName}, has ${exported.decisions} decisions and ${exported.events} events; ` +
        `the database has ${counts.decisions} and ${counts.events}: ${how}`,
    ]);
  return { ...month, counts, exported };
}
