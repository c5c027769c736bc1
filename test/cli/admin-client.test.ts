import { expect, test } from "vitest";
import { withAdmin } from "../../src/cli/admin-client.ts";
import type { Io } from "../../src/cli/io.ts";
import { NO_TERMINAL } from "../support/io.ts";

function ioOf(env: Io["env"], flags: Partial<ReturnType<Io["adminFlags"]>> = {}): Io {
  const ignore = (): void => undefined;
  return {
    ...NO_TERMINAL,
    adminFlags: () => ({ timeout: 30_000, ...flags }),
    env,
    cwd: process.cwd(),
    out: ignore,
    err: ignore,
    exit: ignore,
  };
}

test.each(["http://db.internal:7442", "http://10.0.0.1:7442", "http://localhost.evil.test", "ftp://127.0.0.1", "7442"])(
  "no credential is sent to another machine in clear, or to what is no URL: %s",
  async (url) => {
    const unreached = (): never => expect.unreachable();
    await expect(withAdmin(ioOf({}, { adminUrl: url }), unreached)).rejects.toThrow(/the admin URL must be https:/);
    await expect(withAdmin(ioOf({ DATACRAWL_ADMIN_URL: url }), unreached)).rejects.toThrow("the admin URL must be");
  },
);
