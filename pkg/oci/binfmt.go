package oci

import (
	"bufio"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// binfmtDir lists the interpreters that the kernel knows, as qemu-user for the
// programs of other architectures (Documentation/admin-guide/binfmt-misc.rst).
const binfmtDir = "/proc/sys/fs/binfmt_misc"

// hasInterpreter tells whether an enabled entry of binfmt_misc matches the begin
// of a file.
func hasInterpreter(dir string, head []byte) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() == "register" || e.Name() == "status" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil && binfmtMatches(string(data), head) {
			return true
		}
	}
	return false
}

// binfmtMatches reads one entry: lines of a key and a value. Only as much as is
// known of the file is compared.
func binfmtMatches(entry string, head []byte) bool {
	var magic, mask []byte
	var offset int
	enabled := false
	for s := bufio.NewScanner(strings.NewReader(entry)); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), " ")
		switch key {
		case "enabled":
			enabled = true
		case "offset":
			offset, _ = strconv.Atoi(value)
		case "magic":
			magic, _ = hex.DecodeString(value)
		case "mask":
			mask, _ = hex.DecodeString(value)
		}
	}
	if !enabled || offset != 0 || len(magic) == 0 {
		return false
	}
	for i := range min(len(magic), len(head)) {
		bits := byte(0xff)
		if i < len(mask) {
			bits = mask[i]
		}
		if (head[i]^magic[i])&bits != 0 {
			return false
		}
	}
	return true
}
