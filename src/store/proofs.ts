import { sql } from "kysely";
import { STREAM } from "../audit/log/leaf.ts";
import { hashNode, type NodeReader, type TreeNode } from "../audit/log/merkle.ts";
import { STORED_LEVELS } from "../audit/seal/seal.ts";
import { SqlCheckpointReader } from "./checkpoints.ts";
import { arrayLiteral } from "./dialect/statements.ts";

/** Which leaf of which tree a row is. */
export interface LeafPlace {
  readonly epoch: number;
  readonly seq: number;
}

/** The tree as proofs need it. */
export class SqlTreeReader extends SqlCheckpointReader {
  /** Null if it has no seal. */
  async placeOf(decisionId: string): Promise<LeafPlace | null> {
    const place = await this.db
      .selectFrom("audit_seals")
      .select(["epoch", "seq"])
      .where("row_id", "=", decisionId)
      .where("stream", "=", STREAM.decisions)
      .executeTakeFirst();
    return place ?? null;
  }

  /** Reads the hashes of full subtrees of `epoch`'s tree. @throws if the tree has not grown so far */
  nodes(epoch: number): NodeReader {
    return async (nodes) => {
      const ranges = nodes.map(storedBelow);
      const { rows } = await storedHashes(epoch, ranges).execute(this.db);
      const found = nodes.map((): Uint8Array[] => []);
      for (const { n, hash } of rows) found[n - 1]?.push(hash);
      return found.map((hashes, index) => {
        const range = ranges[index];
        if (hashes.length !== range?.count) throw new Error(`${nameOf(nodes[index])} is not stored`);
        return foldPairs(hashes);
      });
    };
  }
}

interface StoredRange {
  readonly level: number;
  readonly first: number;
  readonly count: number;
}

/** The hashes of each range, in order; `n` counts the ranges from 1. */
function storedHashes(epoch: number, ranges: readonly StoredRange[]) {
  const listOf = (field: keyof StoredRange): string => arrayLiteral(ranges.map((range) => range[field]));
  return sql<{ n: number; hash: Uint8Array }>`
SELECT t.n, found.hash
FROM unnest(${listOf("level")}::text::smallint[], ${listOf("first")}::text::bigint[], ${listOf("count")}::text::bigint[])
  WITH ORDINALITY AS t(level, first, count, n),
LATERAL (
  SELECT seq AS place, leaf_hash AS hash FROM audit_seals
  WHERE t.level = 0 AND epoch = ${epoch}::int AND seq >= t.first AND seq < t.first + t.count
  UNION ALL
  SELECT idx, hash FROM audit_nodes
  WHERE t.level > 0 AND epoch = ${epoch}::int AND level = t.level AND idx >= t.first AND idx < t.first + t.count
) found
ORDER BY t.n, found.place`;
}

/** The stored nodes from which `node` is made: itself, or two, four or eight of the stored level below. */
function storedBelow({ level, index }: TreeNode): StoredRange {
  const above = level % STORED_LEVELS;
  const count = 2 ** above;
  return { level: level - above, first: index * count, count };
}

/** The hash above two to the power of n neighbours. */
function foldPairs(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 1) return hashes[0] as Uint8Array;
  const half = hashes.length / 2;
  return hashNode(foldPairs(hashes.slice(0, half)), foldPairs(hashes.slice(half)));
}

function nameOf(node: TreeNode | undefined): string {
  return `the node ${node?.index} of level ${node?.level}`;
}
