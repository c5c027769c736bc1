import { randomUUID } from "node:crypto";
import { link, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { syncDirectory, writeDurably } from "../../core/durable.ts";
import { failpoint } from "../../core/failpoint.ts";

/** Files that are written once, under numbers of up to fifteen digits, one directory for each three (after c2sp.org/tlog-tiles). */

export const GROUPS = 5;
const NUMBER = /^\d+$/;

/** Such as `000/000/012/345/678`. */
export function numberPath(number: number): string {
  const digits = String(number).padStart(3 * GROUPS, "0");
  return join(...Array.from({ length: GROUPS }, (_, index) => digits.slice(3 * index, 3 * index + 3)));
}

/** The numbered entries of a directory in order; none if it is not there. */
export async function listNumbered(path: string): Promise<string[]> {
  try {
    const names = (await readdir(path)).filter((name) => NUMBER.test(name));
    return names.sort((left, right) => Number(left) - Number(right));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** Writes a file that is whole and durable when it has its name. False if the name is taken. */
export async function writeOnce(path: string, text: string): Promise<boolean> {
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await writeDurably(unfinished, text, 0o644);
    failpoint("half-published");
    // link, not rename: it fails if the name is taken.
    await link(unfinished, path);
    await syncDirectory(dirname(path));
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(unfinished, { force: true });
  }
}
