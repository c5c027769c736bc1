interface MoreProps {
  /** Where the next page does not follow below. */
  readonly words?: string;
  readonly hasMore: boolean;
  readonly busy: boolean;
  readonly onMore: () => void;
}

/** Asks for the next page; gone when there is none. */
export function More({ words = "Show more", hasMore, busy, onMore }: MoreProps) {
  if (!hasMore) return null;
  return (
    <p className="actions">
      <button type="button" onClick={onMore} disabled={busy}>
        {busy ? "Loading…" : words}
      </button>
    </p>
  );
}
