const KEPT = 1024;

/** How long this process' last answers took. */
export class LatencyWindow {
  readonly #milliseconds = new Float64Array(KEPT);
  #count = 0;

  observe(milliseconds: number): void {
    this.#milliseconds[this.#count++ % KEPT] = milliseconds;
  }

  /** Null before the first answer. */
  get quantiles(): { readonly p50Ms: number; readonly p99Ms: number } | null {
    const known = this.#milliseconds.slice(0, Math.min(this.#count, KEPT)).sort();
    const at = (quantile: number): number => known[Math.ceil(quantile * known.length) - 1] ?? 0;
    return known.length === 0 ? null : { p50Ms: at(0.5), p99Ms: at(0.99) };
  }
}
