import { describe, expect, inject, onTestFinished, test } from "vitest";
import { PostgresDatabase } from "../../src/store/postgres.ts";
import { makeDatabase } from "../support/postgres.ts";

const SETTINGS = `SELECT current_setting('jit') AS jit, current_setting('default_transaction_read_only') AS read_only,
  current_setting('work_mem') AS work_mem`;

describe.skipIf(inject("postgresUrl") === null)("a connection to Postgres", () => {
  const settingsOf = async (query: string, readOnly?: true): Promise<Record<string, unknown> | undefined> => {
    const { serviceUrl } = await makeDatabase(inject("postgresUrl") as string);
    const url = new URL(serviceUrl);
    url.search = query;
    const options = { connections: 1, onError: () => undefined };
    const database = new PostgresDatabase(url.href, readOnly === undefined ? options : { ...options, readOnly });
    onTestFinished(() => database.close());
    return (await database.query<Record<string, unknown>>(SETTINGS))[0];
  };

  test("compiles no plans, and for reads alone writes nothing", async () => {
    expect(await settingsOf("")).toMatchObject({ jit: "off", read_only: "off" });
    expect(await settingsOf("", true)).toMatchObject({ jit: "off", read_only: "on" });
  });

  test("takes the options of its URL beside those", async () => {
    const options = "?options=-c%20work_mem%3D7MB";
    expect(await settingsOf(options)).toMatchObject({ jit: "off", work_mem: "7MB" });
    expect(await settingsOf(options, true)).toMatchObject({ jit: "off", read_only: "on", work_mem: "7MB" });
    expect(await settingsOf("?options=-c%20jit%3Don")).toMatchObject({ jit: "on" });
  });
});
