/** For commands that are run without a terminal. */
export const NO_TERMINAL = {
  startedAt: 0,
  adminFlags: () => ({ timeout: 30_000 }),
  outClosed: new AbortController().signal,
  readInput: async (): Promise<string> => "",
  askSecret: (question: string): Promise<string> => Promise.reject(new Error(`there is no terminal: ${question}`)),
};
