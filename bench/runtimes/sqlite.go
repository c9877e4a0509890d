//go:build never

package main

// Pins the version of SQLite, whose source in C is a file of this module.
import _ "github.com/mattn/go-sqlite3"
