/** Ctrl-C stops what was started before it stops the bench. */
export function stopOnSignals(stack: AsyncDisposableStack): void {
  const stop = (status: number) => () => void stack.disposeAsync().finally(() => process.exit(status));
  process.once("SIGINT", stop(130));
  process.once("SIGTERM", stop(143));
}
