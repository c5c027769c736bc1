/** The latest moment at which somebody still waits, in monotonic milliseconds; grows as others join. */
export interface SharedDeadline {
  at: number;
}

/** Work that is under way, shared by all who ask for the same. (The idea is Go's singleflight.) */
export class Flights<Result> {
  readonly #underWay = new Map<string, { readonly result: Promise<Result>; readonly deadline: SharedDeadline }>();

  get size(): number {
    return this.#underWay.size;
  }

  /**
   * Joins the flight named `key`, or starts it with `start`. Nothing is kept once it has landed: a later caller starts
   * another one.
   */
  share(
    key: string,
    deadlineAt: number,
    start: (deadline: SharedDeadline) => Promise<Result>,
  ): { joined: boolean; result: Promise<Result> } {
    const flight = this.#underWay.get(key);
    if (flight !== undefined) {
      flight.deadline.at = Math.max(flight.deadline.at, deadlineAt);
      return { joined: true, result: flight.result };
    }
    const deadline = { at: deadlineAt };
    const result = start(deadline);
    this.#underWay.set(key, { result, deadline });
    const land = (): void => void this.#underWay.delete(key);
    result.then(land, land);
    return { joined: false, result };
  }
}
