/**
 * A bounded queue that serves its owners in turn, one item each, so that one who floods it delays only himself.
 * Within an owner, first in, first out.
 */
export class FairQueue<Item> {
  readonly #limit: number;
  readonly #limitPerOwner: number;
  /** In the order in which owners are served next: Maps keep insertion order. */
  readonly #owners = new Map<string, Item[]>();
  #size = 0;

  constructor(limit: number, limitPerOwner: number) {
    this.#limit = limit;
    this.#limitPerOwner = limitPerOwner;
  }

  get size(): number {
    return this.#size;
  }

  /** False, and nothing is kept, if the queue or the owner's share of it is full. */
  push(owner: string, item: Item): boolean {
    if (this.#size >= this.#limit) return false;
    const items = this.#owners.get(owner);
    if (items === undefined) this.#owners.set(owner, [item]);
    else if (items.length >= this.#limitPerOwner) return false;
    else items.push(item);
    this.#size++;
    return true;
  }

  /** Puts an item back at the front of its owner's share. Never refuses: the item was here before. */
  unshift(owner: string, item: Item): void {
    const items = this.#owners.get(owner);
    if (items === undefined) this.#owners.set(owner, [item]);
    else items.unshift(item);
    this.#size++;
  }

  shift(): Item | undefined {
    const next = this.#owners.entries().next();
    if (next.done === true) return undefined;
    const [owner, items] = next.value;
    const item = items.shift() as Item;
    // The owner goes to the back of the line, or leaves it.
    this.#owners.delete(owner);
    if (items.length > 0) this.#owners.set(owner, items);
    this.#size--;
    return item;
  }
}
