const PAGE_SIZE = 1000;

interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** Everything of a list, through as many pages as it takes. */
export async function allPages<Page extends { readonly nextPageToken: string }, Item>(
  read: (page: PageRequest) => Promise<Page>,
  itemsOf: (page: Page) => readonly Item[],
): Promise<Item[]> {
  const { items } = await pagesUpTo(Number.POSITIVE_INFINITY, read, itemsOf);
  return items;
}

/** The first `limit` of a list, and whether there are more. */
export async function pagesUpTo<Page extends { readonly nextPageToken: string }, Item>(
  limit: number,
  read: (page: PageRequest) => Promise<Page>,
  itemsOf: (page: Page) => readonly Item[],
): Promise<{ items: Item[]; more: boolean }> {
  const items: Item[] = [];
  for (let pageToken = ""; ; ) {
    const page = await read({ pageSize: Math.min(PAGE_SIZE, limit - items.length), pageToken });
    items.push(...itemsOf(page));
    pageToken = page.nextPageToken;
    if (pageToken === "" || items.length >= limit) return { items, more: pageToken !== "" };
  }
}
