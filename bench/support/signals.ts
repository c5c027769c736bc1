/** Somebody wants the bench to stop. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  /** The exit status that shells expect. */
  readonly status: number;

  constructor(signal: "SIGINT" | "SIGTERM") {
    super(`stopped by ${signal}`);
    this.status = signal === "SIGINT" ? 130 : 143;
  }
}

/**
 * `work`, cut short by Ctrl-C: then it rejects with {@link Interrupted}, so that whoever started servers for it stops them
 * on the way out. The work itself goes on until it notices that they are gone.
 */
export async function interruptible<T>(work: Promise<T>): Promise<T> {
  const { promise: interrupted, reject } = Promise.withResolvers<never>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => reject(new Interrupted(signal)));
  return await Promise.race([work, interrupted]);
}

/** Runs a program's `main`; an interruption is no error to be shown. */
export async function runMain(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (error instanceof Interrupted) process.exit(error.status);
    throw error;
  }
}
