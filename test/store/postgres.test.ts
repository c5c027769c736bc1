import { type AddressInfo, createServer } from "node:net";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { makeDatabase } from "../support/postgres.ts";
import { query } from "../support/sql.ts";

const SETTINGS = `SELECT current_setting('jit') AS jit, current_setting('default_transaction_read_only') AS read_only,
  current_setting('work_mem') AS work_mem`;

describe.skipIf(inject("postgresUrl") === null)("a connection to Postgres", () => {
  const settingsOf = async (search: string, readOnly?: true): Promise<Record<string, unknown> | undefined> => {
    const { serviceUrl } = await makeDatabase(inject("postgresUrl") as string);
    const url = new URL(serviceUrl);
    url.search = search;
    const options = { connections: 1, onError: () => undefined };
    const database = new PostgresDatabase(url.href, readOnly === undefined ? options : { ...options, readOnly });
    onTestFinished(() => database.close());
    return (await query(database, SETTINGS))[0];
  };

  test("compiles no plans, and for reads alone writes nothing", async () => {
    expect(await settingsOf("")).toMatchObject({ jit: "off", read_only: "off" });
    expect(await settingsOf("", true)).toMatchObject({ jit: "off", read_only: "on" });
  });

  test("does so whatever the options of its URL are, and has those, too", async () => {
    const options = "?options=-c%20work_mem%3D7MB%20-c%20jit%3Don";
    expect(await settingsOf(options)).toMatchObject({ jit: "off", work_mem: "7MB" });
    expect(await settingsOf(options, true)).toMatchObject({ jit: "off", read_only: "on", work_mem: "7MB" });
  });

  test("reads times and intervals whatever formats the server or the login has", async () => {
    const { serviceUrl, superUrl } = await makeDatabase(inject("postgresUrl") as string);
    const admin = new PostgresDatabase(superUrl, { connections: 1, onError: () => undefined });
    onTestFinished(() => admin.close());
    const login = `"${decodeURIComponent(new URL(serviceUrl).username)}"`;
    for (const setting of ["TimeZone = 'Asia/Tokyo'", "DateStyle = 'SQL, DMY'", "IntervalStyle = 'iso_8601'"])
      await query(admin, `ALTER ROLE ${login} SET ${setting}`);
    const database = new PostgresDatabase(serviceUrl, { connections: 1, onError: () => undefined });
    onTestFinished(() => database.close());
    const read = "SELECT '2026-11-01 12:00:00.000001+02'::timestamptz AS at, interval '90 s' AS lasting";
    expect(await query(database, read)).toEqual([{ at: 1_793_527_200_000_001, lasting: 90_000_000 }]);
  });

  test("is given up if the server falls silent before it is set up", { tags: ["full"], timeout: 10_000 }, async () => {
    const silent = createServer((socket) => {
      // It lets anybody in (AuthenticationOk, ReadyForQuery), and then answers nothing.
      socket.once("data", () => socket.write(Buffer.from("5200000008000000005a0000000549", "hex")));
      socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const database = new PostgresDatabase(`postgres://x@127.0.0.1:${port}/x`, {
      connections: 1,
      onError: () => undefined,
    });
    onTestFinished(async () => {
      await database.close();
      silent.close();
    });
    for (let attempt = 0; attempt < 2; attempt++) {
      const failure = await query(database, "SELECT").then(
        () => null,
        (error: unknown) => error,
      );
      expect(failure).toMatchObject({
        outcome: "rolled_back",
        message: expect.stringContaining("did not answer within"),
      });
    }
  });
});
