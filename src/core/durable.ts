import { mkdir, open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Files that a power cut leaves whole: what is durable is what was fsynced, and a name is durable when its directory was. */

/** Makes `path` and its parents, by default mode 0700, durable in their own parents. */
export async function makeDirectory(path: string, mode = 0o700): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes the file `path`. Its name is durable when its directory is. @throws EEXIST */
export async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Replaces the file `name` of `dir`, mode 0600: after a crash it is the old one or the new one, whole. One writer at a time. */
export async function replaceFile(dir: string, name: string, text: string): Promise<void> {
  const unfinished = join(dir, `${name}.new`);
  const file = await open(unfinished, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, join(dir, name));
  await syncDirectory(dir);
}
