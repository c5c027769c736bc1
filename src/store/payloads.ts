import { sql } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import { eventValues } from "./events.ts";
import { Repository } from "./repository.ts";

/** What was kept of payloads. Only this is ever erased. */
export class SqlPayloadStore extends Repository {
  /** Erases one, and records its event. False, and no event, if nothing was kept. */
  async erase(decisionId: string, event: HashedEvent): Promise<boolean> {
    const { rows } = await sql<{ erased: boolean }>`
      SELECT datacrawl_erase_payload(${decisionId}::uuid, ${eventValues(event)}) AS erased`.execute(this.db);
    return rows[0]?.erased === true;
  }
}
