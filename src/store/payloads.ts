import type { HashedEvent } from "../audit/row/event.ts";
import { type Database, timestampOf } from "./database.ts";
import { eventParams } from "./event-text.ts";

/** What was kept of payloads. Only this is ever erased. */
export class SqlPayloadStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Erases one, together with the event that tells of it. False, and no event, if nothing was kept. */
  async erase(decisionId: string, event: HashedEvent): Promise<boolean> {
    const [row] = await this.#database.query<{ erased: boolean }>(ERASE, [decisionId, ...eventParams(event)]);
    return row?.erased === true;
  }
}

const ERASE = `
SELECT datacrawl_erase_payload(
  $1::text::uuid, $2::uuid, ${timestampOf("$3::bigint")}, $4::text, $5::text, $6::text, $7::uuid, $8::text, $9::bytea
) AS erased`;
