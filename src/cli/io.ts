/** What every command is given instead of reaching for the process, so that commands run the same under test. */
export interface ProcessIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** When the command began, by `systemClock.monotonic()`. */
  readonly startedAt: number;
  /**
   * All of standard input, as text.
   *
   * @throws UsageError if it has more than `maxBytes`, or is not UTF-8
   */
  readInput(maxBytes?: number): Promise<string>;
  /** Asks at the terminal without showing what is typed. @throws UsageError if there is no terminal */
  askSecret(question: string): Promise<string>;
  /** Results. With `--json`, exactly one JSON value in all. */
  out(text: string): void;
  /** Everything else: progress, warnings, errors. */
  err(text: string): void;
  /** Aborted when nothing more can be written to standard output. A command without an end of its own ends then. */
  readonly outClosed: AbortSignal;
  /** Sets the exit status; the command still returns normally. */
  exit(code: ExitCode): void;
}

export interface Io extends ProcessIo {
  /** As they were parsed; for use in a command's action. */
  adminFlags(): AdminFlags;
}

/** What every command that calls AdminService takes, wherever on the line it stands. */
export interface AdminFlags {
  readonly adminUrl?: string;
  /** The operator to sign in as. */
  readonly as?: string;
  readonly passwordStdin?: true;
  readonly totp?: string;
  /** How long each answer may take, in milliseconds. */
  readonly timeout: number;
}

/** Exit statuses, the same for every command. */
export const ExitCode = { ok: 0, failed: 1, deny: 2, needsReview: 3, usage: 64 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];
