package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// headerRoom bounds the header of an answer, in bytes.
const headerRoom = 4 << 10

var (
	headerEnd     = []byte("\r\n\r\n")
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("content-length:")
)

// answerSize is the size of an answer of which got is the begin: header and body, in
// bytes; 0 while the header is not all there. Only answers of status 200 that tell their
// length are understood.
func answerSize(got []byte) (header, total int, err error) {
	end := bytes.Index(got, headerEnd)
	if end < 0 {
		if len(got) >= headerRoom {
			return 0, 0, errors.New("the header of the answer has no end")
		}
		return 0, 0, nil
	}
	header = end + len(headerEnd)
	if !bytes.HasPrefix(got, statusOK) {
		line, _, _ := bytes.Cut(got[:end], []byte("\r\n"))
		return 0, 0, fmt.Errorf("the server answers %q", line)
	}
	for line := range bytes.Lines(got[:end]) {
		if len(line) <= len(contentLength) || !bytes.EqualFold(line[:len(contentLength)], contentLength) {
			continue
		}
		n, err := strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):])))
		if err != nil || n < 0 {
			return 0, 0, fmt.Errorf("the server answers with a length of %q", bytes.TrimSpace(line[len(contentLength):]))
		}
		return header, header + n, nil
	}
	return 0, 0, errors.New("the answer does not tell its length")
}
