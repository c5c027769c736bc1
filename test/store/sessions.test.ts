import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AccountOperations } from "../../src/admin/accounts.ts";
import { Sessions } from "../../src/admin/sessions.ts";
import { Passwords } from "../../src/authn/password.ts";
import { SignInLimit } from "../../src/authn/sign-in-limit.ts";
import { TotpSeal, totpCode } from "../../src/authn/totp.ts";
import { systemClock } from "../../src/core/clock.ts";
import { RandomPool } from "../../src/core/ids.ts";
import { SqlOperatorStore } from "../../src/store/operators.ts";
import { SqlSessionStore } from "../../src/store/sessions.ts";
import { base32Decode } from "../support/base32.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";

const PASSWORD = "correct horse battery";

describe.each(storeKinds())("sessions on $name", ({ open }) => {
  let store: TestStore;
  let accounts: AccountOperations;
  /** Two of them, as two replicas have one each. */
  let replicas: [Sessions, Sessions];
  beforeAll(async () => {
    store = await open();
    const shared = {
      passwords: new Passwords(),
      totpSeal: new TotpSeal(Buffer.alloc(32, 7)),
      random: new RandomPool(),
      now: () => systemClock.now(),
    };
    accounts = new AccountOperations({ accounts: new SqlOperatorStore(store.database.kysely), ...shared });
    const replica = (): Sessions =>
      new Sessions({
        sessions: new SqlSessionStore(store.database.kysely),
        limit: new SignInLimit(() => 0),
        ...shared,
      });
    replicas = [replica(), replica()];
  });
  afterAll(() => store.close());

  const signIn = (replica: Sessions, name: string, totpCode = "", password = PASSWORD) =>
    replica.signIn({ name, password, totpCode, from: "10.0.0.1", replaces: null });

  test("hold on every replica, and end on all at once", async () => {
    const [one, other] = replicas;
    await accounts.create("ann", "reviewer", PASSWORD, "test");
    const { token } = await signIn(one, "ann");
    const named = await other.verify(token);
    expect(named).toMatchObject({ name: "ann", role: "reviewer", methods: ["pwd"] });
    expect(Math.abs((named.signedInAt ?? 0) - systemClock.now())).toBeLessThan(60_000_000);
    await other.signOut(token, named);
    await expect(one.verify(token)).rejects.toMatchObject({ code: "SESSION_ENDED" });
  });

  test("begin with each one-time code once, whichever replicas are asked at once", async () => {
    await accounts.create("bob", "operator", PASSWORD, "test");
    const { uri } = await accounts.enableTotp("bob", "test");
    const secret = base32Decode(new URL(uri).searchParams.get("secret") ?? "");
    const code = totpCode(secret, Math.floor(systemClock.now() / 30_000_000));
    const raced = await Promise.allSettled([0, 1, 0, 1].map((n) => signIn(replicas[n as 0 | 1], "bob", code)));
    const won = raced.filter((result) => result.status === "fulfilled");
    expect(won).toHaveLength(1);
    expect(won[0]?.value.caller.methods).toEqual(["pwd", "otp"]);
    // Also not to begin because too many passwords are being checked is not to begin twice.
    for (const result of raced)
      if (result.status === "rejected") expect(["SIGN_IN_FAILED", "QUEUE_FULL"]).toContain(result.reason.code);
  });

  test("of an old password do not outlive its change, though they begin in that moment", async () => {
    await accounts.create("cat", "viewer", PASSWORD, "test");
    const changed = accounts.setPassword("cat", `${PASSWORD} new`, "test");
    // Two: with more, those that come too late are so many failures that the last sign-in below is put off.
    const begun = await Promise.allSettled(replicas.map((replica) => signIn(replica, "cat")));
    await changed;
    for (const result of begun) {
      if (result.status === "fulfilled") {
        await expect(replicas[0].verify(result.value.token)).rejects.toMatchObject({ code: "SESSION_ENDED" });
      }
    }
    await expect(signIn(replicas[0], "cat")).rejects.toMatchObject({ code: "SIGN_IN_FAILED" });
    await expect(signIn(replicas[0], "cat", "", `${PASSWORD} new`)).resolves.toBeDefined();
  });

  test("and their accounts' changes are in the trail", async () => {
    const rows = await query<{ kind: string; actor: string }>(
      store.database,
      "SELECT kind, actor FROM audit_events WHERE subject = 'ann' ORDER BY event_id",
    );
    expect(rows).toEqual([
      { kind: "operator.added", actor: "test" },
      { kind: "operator.signed_in", actor: "operator:ann" },
      { kind: "operator.signed_out", actor: "operator:ann" },
    ]);
  });
});
