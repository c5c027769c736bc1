import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

const CLIENT = new URL("../src/index.ts", import.meta.url).href;

/** The packages and built-in modules that a process has loaded after `import` of the client, and the warnings it wrote. */
function loadedByImport(): { readonly packages: string[]; readonly builtins: string[]; readonly stderr: string } {
  const script = `
    import { registerHooks } from "node:module";
    const packages = new Set();
    registerHooks({
      resolve(specifier, context, next) {
        const { url } = next(specifier, context);
        const name = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1];
        if (name !== undefined) packages.add(name);
        return next(specifier, context);
      },
    });
    const { DataCrawl } = await import(${JSON.stringify(CLIENT)});
    if (typeof DataCrawl !== "function") throw new Error("the client exports no DataCrawl");
    const builtins = process.moduleLoadList.filter((name) => /sqlite/.test(name));
    console.log(JSON.stringify({ packages: [...packages], builtins }));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"] },
  });
  return { ...JSON.parse(stdout), stderr };
}

test("importing the client loads one package, no SQLite, and warns of nothing", () => {
  expect(loadedByImport()).toEqual({ packages: ["@bufbuild/protobuf"], builtins: [], stderr: "" });
});

test("requiring the client works from CommonJS", () => {
  const script = `const { DataCrawl } = require(${JSON.stringify(new URL(CLIENT).pathname)}); console.log(typeof DataCrawl)`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=commonjs", "--eval", script], {
    encoding: "utf8",
  });
  expect({ stdout, stderr }).toEqual({ stdout: "function\n", stderr: "" });
});
