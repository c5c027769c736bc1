// Verifies a proof file of `datacrawl audit prove`/`prove-consistency` with golang.org/x/mod/sumdb.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type proof struct {
	Format, Hash, Checkpoint, First, Second string
	LeafIndex                               int64    `json:"leaf_index"`
	InclusionPath                           []string `json:"inclusion_path"`
	ConsistencyPath                         []string `json:"consistency_path"`
}

func must(err error) {
	if err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
}

func open(text string, verifiers note.Verifiers) (int64, tlog.Hash) {
	opened, err := note.Open([]byte(text), verifiers)
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)
	return size, tlog.Hash(root)
}

func hashes(texts []string) (found []tlog.Hash) {
	for _, text := range texts {
		bytes, err := hex.DecodeString(text)
		must(err)
		found = append(found, tlog.Hash(bytes))
	}
	return
}

func main() {
	data, err := os.ReadFile(os.Args[1])
	must(err)
	verifier, err := note.NewVerifier(os.Args[2])
	must(err)
	verifiers := note.VerifierList(verifier)
	var p proof
	must(json.Unmarshal(data, &p))
	if p.Format == "datacrawl.audit.consistency.v1" {
		first, firstRoot := open(p.First, verifiers)
		second, secondRoot := open(p.Second, verifiers)
		must(tlog.CheckTree(hashes(p.ConsistencyPath), second, secondRoot, first, firstRoot))
		fmt.Println("ok: tree", first, "is the beginning of tree", second)
		return
	}
	row, err := hex.DecodeString(p.Hash)
	must(err)
	size, root := open(p.Checkpoint, verifiers)
	leaf := tlog.RecordHash(append([]byte{1}, row...))
	must(tlog.CheckRecord(hashes(p.InclusionPath), size, root, p.LeafIndex, leaf))
	fmt.Println("ok: leaf", p.LeafIndex, "of", size)
}
