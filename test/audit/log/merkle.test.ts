import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CompactRange,
  consistencyProof,
  EMPTY_ROOT,
  hashLeaf,
  hashNode,
  inclusionProof,
  type NodeReader,
  subtreesOf,
  type TreeNode,
  verifyConsistency,
  verifyInclusion,
} from "../../../src/audit/log/merkle.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytes = (text: string): Buffer => Buffer.from(text, "hex");

// The specification word for word (RFC 6962, 2.1), which is slow and needs all leaves.
const largestPowerBelow = (size: number): number => 2 ** (Math.ceil(Math.log2(size)) - 1);

function root(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return EMPTY_ROOT;
  if (leaves.length === 1) return leaves[0] as Uint8Array;
  const k = largestPowerBelow(leaves.length);
  return hashNode(root(leaves.slice(0, k)), root(leaves.slice(k)));
}

function path(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  const k = largestPowerBelow(leaves.length);
  return m < k
    ? [...path(m, leaves.slice(0, k)), root(leaves.slice(k))]
    : [...path(m - k, leaves.slice(k)), root(leaves.slice(0, k))];
}

function subproof(m: number, leaves: readonly Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [root(leaves)];
  const k = largestPowerBelow(leaves.length);
  return m <= k
    ? [...subproof(m, leaves.slice(0, k), whole), root(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), root(leaves.slice(0, k))];
}

const leavesOf = (size: number): Buffer[] => Array.from({ length: size }, (_, index) => hashLeaf(Buffer.from([index])));

/** Appends all leaves and keeps every full subtree, as the sealer does. */
function treeOf(leaves: readonly Uint8Array[]): { range: CompactRange; read: NodeReader } {
  const nodes = new Map<string, Uint8Array>();
  const nameOf = ({ level, index }: TreeNode): string => `${level}/${index}`;
  const range = new CompactRange();
  for (const leaf of leaves) range.append(leaf, (node, hash) => nodes.set(nameOf(node), hash));
  const read: NodeReader = async (wanted) =>
    wanted.map((node) => {
      const hash = nodes.get(nameOf(node));
      if (hash === undefined) throw new Error(`no full subtree ${nameOf(node)}`);
      return hash;
    });
  return { range, read };
}

/** Everything that a proof can be turned into by one change. */
function spoilt(proof: readonly Uint8Array[], some: Uint8Array): Uint8Array[][] {
  const flipped = proof.map((hash, index) => {
    const other = Buffer.from(hash);
    other[index % 32] = (other[index % 32] as number) ^ (1 << (index % 8));
    return proof.with(index, other);
  });
  const replaced = proof.map((_, index) => proof.with(index, some));
  const cut = proof.map((_, index) => proof.toSpliced(index, 1));
  const grown = [...proof, some].map((_, index) => proof.toSpliced(index, 0, some));
  const short = proof.map((hash, index) => proof.with(index, hash.subarray(1)));
  return [...flipped, ...replaced, ...cut, ...grown, ...short];
}

const MAX = 70;
const sizes = fc.integer({ min: 1, max: MAX });

describe("the tree", () => {
  test("has the roots that the specification gives it, at each size", () => {
    const leaves = leavesOf(MAX);
    const range = new CompactRange();
    expect(hex(range.root())).toBe(hex(root([])));
    for (const [index, leaf] of leaves.entries()) {
      range.append(leaf);
      expect(hex(range.root())).toBe(hex(root(leaves.slice(0, index + 1))));
    }
  });

  test("goes on from its peaks, by leaves or by whole subtrees, as if it had never stopped", () => {
    fc.assert(
      fc.property(sizes, sizes, (a, b) => {
        const [first, second] = [Math.min(a, b), Math.max(a, b)];
        const leaves = leavesOf(second);
        const before = treeOf(leaves.slice(0, first)).range;
        const byLeaves = new CompactRange(first, before.peaks);
        for (const leaf of leaves.slice(first)) byLeaves.append(leaf);
        const bySubtrees = new CompactRange(first, before.peaks);
        for (const { level, index } of subtreesOf(first, second)) {
          const start = index * 2 ** level;
          bySubtrees.append(root(leaves.slice(start, start + 2 ** level)), undefined, level);
        }
        expect(hex(byLeaves.root())).toBe(hex(root(leaves)));
        expect(hex(bySubtrees.root())).toBe(hex(root(leaves)));
        expect(bySubtrees.size).toBe(second);
      }),
    );
  });

  test("refuses peaks that are not its own, and subtrees where they cannot begin", () => {
    expect(() => new CompactRange(3, [EMPTY_ROOT])).toThrow("2 peaks, not 1");
    expect(() => new CompactRange(2, [EMPTY_ROOT, EMPTY_ROOT])).toThrow("1 peaks, not 2");
    const range = new CompactRange(1, [EMPTY_ROOT]);
    expect(() => range.append(EMPTY_ROOT, undefined, 1)).toThrow("cannot begin at leaf 1");
  });

  test("tells each full subtree once, from the appended one up", () => {
    const told: string[] = [];
    const range = new CompactRange();
    for (const leaf of leavesOf(4)) range.append(leaf, ({ level, index }) => told.push(`${level}/${index}`));
    expect(told).toEqual(["0/0", "0/1", "1/0", "0/2", "0/3", "1/1", "2/0"]);
  });

  test("counts beyond 32 bits", () => {
    const size = 2 ** 40 + 5;
    expect(subtreesOf(0, size)).toEqual([
      { level: 40, index: 0 },
      { level: 2, index: 2 ** 38 },
      { level: 0, index: 2 ** 40 + 4 },
    ]);
    const [a, b, c] = leavesOf(3) as [Buffer, Buffer, Buffer];
    const range = new CompactRange(size, [a, b, c]);
    const whole = hex(range.root());
    const proof = [hashNode(b, c)];
    expect(verifyConsistency({ size: 2 ** 40, root: a }, { size, root: bytes(whole) }, proof)).toBe(true);
    expect(verifyInclusion({ leafHash: c, index: size - 1, size, root: bytes(whole) }, [b, a])).toBe(true);
    expect(verifyInclusion({ leafHash: c, index: 2 ** 32 + 4, size, root: bytes(whole) }, [b, a])).toBe(false);
  });
});

describe("an inclusion proof", () => {
  test("is the specification's, verifies, and with any one change does not", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async (size, some) => {
        const leaves = leavesOf(size);
        const index = some % size;
        const proof = await inclusionProof(index, size, treeOf(leaves).read);
        expect(proof.map(hex)).toEqual(path(index, leaves).map(hex));
        const claim = { leafHash: leaves[index] as Buffer, index, size, root: root(leaves) };
        expect(verifyInclusion(claim, proof)).toBe(true);
        for (const wrong of spoilt(proof, hashLeaf(Buffer.from("else")))) {
          expect(verifyInclusion(claim, wrong)).toBe(false);
        }
        const elsewhere = { ...claim, leafHash: hashLeaf(Buffer.from("another")) };
        expect(verifyInclusion(elsewhere, proof)).toBe(false);
        expect(verifyInclusion({ ...claim, root: EMPTY_ROOT }, proof)).toBe(false);
        for (let other = 0; other <= size; other++) {
          if (other !== index) expect(verifyInclusion({ ...claim, index: other }, proof)).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("is read from full subtrees alone, and so from a larger tree too", async () => {
    const { read } = treeOf(leavesOf(MAX));
    for (let size = 1; size <= MAX; size++) {
      const leaves = leavesOf(size);
      for (const index of new Set([0, size >> 1, size - 1])) {
        const proof = await inclusionProof(index, size, read);
        expect(verifyInclusion({ leafHash: leaves[index] as Buffer, index, size, root: root(leaves) }, proof)).toBe(
          true,
        );
      }
    }
  });

  test.each([
    ["a leaf past the end", 3, 3],
    ["a leaf of the empty tree", 0, 0],
    ["a negative leaf", -1, 3],
    ["half a leaf", 0.5, 3],
    ["more leaves than can be counted", 0, 2 ** 53],
  ])("of %s is not to be had", async (_, index, size) => {
    await expect(inclusionProof(index, size, treeOf(leavesOf(4)).read)).rejects.toThrow(RangeError);
    expect(verifyInclusion({ leafHash: EMPTY_ROOT, index, size, root: EMPTY_ROOT }, [])).toBe(false);
  });
});

describe("a consistency proof", () => {
  test("is the specification's, verifies, and with any one change does not", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, sizes, async (a, b) => {
        const [size1, size2] = [Math.min(a, b), Math.max(a, b)];
        const leaves = leavesOf(size2);
        const proof = await consistencyProof(size1, size2, treeOf(leaves).read);
        expect(proof.map(hex)).toEqual(subproof(size1, leaves, true).map(hex));
        const first = { size: size1, root: root(leaves.slice(0, size1)) };
        const second = { size: size2, root: root(leaves) };
        expect(verifyConsistency(first, second, proof)).toBe(true);
        for (const wrong of spoilt(proof, hashLeaf(Buffer.from("else")))) {
          expect(verifyConsistency(first, second, wrong)).toBe(false);
        }
        expect(verifyConsistency({ ...first, root: EMPTY_ROOT }, second, proof)).toBe(false);
        expect(verifyConsistency(first, { ...second, root: EMPTY_ROOT }, proof)).toBe(false);
        for (let size = 1; size <= size2; size++) {
          if (size !== size1) expect(verifyConsistency({ ...first, size }, second, proof)).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("from the empty tree is empty, and holds for its root alone", async () => {
    const { range, read } = treeOf(leavesOf(3));
    const second = { size: 3, root: range.root() };
    expect(await consistencyProof(0, 3, read)).toEqual([]);
    expect(verifyConsistency({ size: 0, root: EMPTY_ROOT }, second, [])).toBe(true);
    expect(verifyConsistency({ size: 0, root: range.root() }, second, [])).toBe(false);
    expect(verifyConsistency({ size: 0, root: EMPTY_ROOT }, second, [EMPTY_ROOT])).toBe(false);
    expect(verifyConsistency({ size: 0, root: EMPTY_ROOT }, { size: 0, root: range.root() }, [])).toBe(false);
  });

  test("backwards is not to be had", async () => {
    const { range, read } = treeOf(leavesOf(3));
    await expect(consistencyProof(3, 2, read)).rejects.toThrow(RangeError);
    expect(verifyConsistency({ size: 4, root: range.root() }, { size: 3, root: range.root() }, [])).toBe(false);
  });
});

// Certificate Transparency's own examples: eight leaves, the roots of their first one to eight, and some proofs.
describe("Certificate Transparency's vectors", () => {
  const leaves = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
  ].map((data) => hashLeaf(bytes(data)));
  const roots = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ];

  test("roots", () => {
    expect(hex(EMPTY_ROOT)).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(roots.map((_, index) => hex(treeOf(leaves.slice(0, index + 1)).range.root()))).toEqual(roots);
  });

  test.each([
    [0, 1, []],
    [
      0,
      8,
      [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
      ],
    ],
    [
      5,
      8,
      [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      ],
    ],
    [2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]],
    [
      1,
      5,
      [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      ],
    ],
  ])("inclusion of leaf %i in %i", async (index, size, proof) => {
    expect((await inclusionProof(index, size, treeOf(leaves).read)).map(hex)).toEqual(proof);
    const claim = { leafHash: leaves[index] as Buffer, index, size, root: bytes(roots[size - 1] as string) };
    expect(verifyInclusion(claim, proof.map(bytes))).toBe(true);
  });

  test.each([
    [1, 1, []],
    [
      1,
      8,
      [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
      ],
    ],
    [
      6,
      8,
      [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      ],
    ],
    [
      2,
      5,
      [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      ],
    ],
    [
      6,
      7,
      [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      ],
    ],
  ])("consistency of %i and %i", async (size1, size2, proof) => {
    expect((await consistencyProof(size1, size2, treeOf(leaves).read)).map(hex)).toEqual(proof);
    const at = (size: number) => ({ size, root: bytes(roots[size - 1] as string) });
    expect(verifyConsistency(at(size1), at(size2), proof.map(bytes))).toBe(true);
  });
});
