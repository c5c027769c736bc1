import { describe, expect, it } from "vitest";
import { SharedRead } from "../../src/store/shared-read.ts";

/** A reader whose statements end when the test says so. */
function open() {
  const statements: {
    readonly ids: readonly string[];
    readonly end: PromiseWithResolvers<ReadonlyMap<string, string>>;
  }[] = [];
  const reader = new SharedRead<string>((ids) => {
    const end = Promise.withResolvers<ReadonlyMap<string, string>>();
    statements.push({ ids, end });
    return end.promise;
  });
  return { reader, statements };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const rowsOf = (...ids: string[]): ReadonlyMap<string, string> => new Map(ids.map((id) => [id, `row ${id}`]));

describe("reads that share statements", () => {
  it("go out together if they are asked for in one tick, each id once", async () => {
    const { reader, statements } = open();
    const rows = Promise.all([reader.find("a"), reader.find("b"), reader.find("a")]);
    await settled();
    expect(statements.map(({ ids }) => ids)).toEqual([["a", "b"]]);
    statements[0]?.end.resolve(rowsOf("a"));
    expect(await rows).toEqual(["row a", null, "row a"]);
  });

  it("are never answered by a statement that was under way when they were asked for", async () => {
    const { reader, statements } = open();
    const early = reader.find("a");
    await settled();
    const late = [reader.find("a"), reader.find("b")];
    await settled();
    expect(statements.map(({ ids }) => ids)).toEqual([["a"]]);
    statements[0]?.end.resolve(new Map([["a", "the row before"]]));
    await settled();
    expect(await early).toBe("the row before");
    expect(statements.map(({ ids }) => ids)).toEqual([["a"], ["a", "b"]]);
    statements[1]?.end.resolve(new Map([["a", "the row after"]]));
    expect(await Promise.all(late)).toEqual(["the row after", null]);
  });

  it("fail with their own statement alone", async () => {
    const { reader, statements } = open();
    const failing = reader.find("a");
    await settled();
    const other = reader.find("b");
    await settled();
    statements[0]?.end.reject(new Error("the connection was lost"));
    await expect(failing).rejects.toThrow("the connection was lost");
    await settled();
    statements[1]?.end.resolve(rowsOf("b"));
    expect(await other).toBe("row b");
  });

  it("are at most 256 ids a statement", async () => {
    const { reader, statements } = open();
    const ids = Array.from({ length: 600 }, (_, n) => `${n}`);
    const rows = Promise.all(ids.map((id) => reader.find(id)));
    await settled();
    for (const count of [256, 256, 88]) {
      const { ids: asked, end } = statements.at(-1)!;
      expect(asked.length).toBe(count);
      end.resolve(rowsOf(...asked));
      await settled();
    }
    expect(await rows).toEqual(ids.map((id) => `row ${id}`));
  });
});
