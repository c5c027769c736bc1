import fc from "fast-check";
import { expect, test } from "vitest";
import { NewestMap } from "../../src/core/newest-map.ts";

test("a map of the newest has each key's last value, at least half of its limit and never more than that", () => {
  const steps = fc.array(fc.record({ key: fc.nat(12), isDelete: fc.boolean() }), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 9 }), steps, (limit, all) => {
      const map = new NewestMap<number, number>(limit);
      // The newest last.
      const model = new Map<number, number>();
      for (const [step, { key, isDelete }] of all.entries()) {
        model.delete(key);
        if (isDelete) map.delete(key);
        else map.set(key, step);
        if (!isDelete) model.set(key, step);
        expect(map.size).toBeLessThanOrEqual(limit);
        const newest = [...model].slice(-Math.floor(limit / 2));
        for (const [known, value] of newest) expect(map.get(known)).toBe(value);
        for (let known = 0; known <= 12; known++) expect([undefined, model.get(known)]).toContain(map.get(known));
      }
      map.clear();
      expect(map.size).toBe(0);
    }),
  );
});
