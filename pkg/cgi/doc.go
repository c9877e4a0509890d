// Package cgi answers HTTP requests by running a program once for each, as RFC 3875
// (The Common Gateway Interface 1.1) has it: the request is in the program's environment
// and its standard input, the answer is what it writes.
//
// What runs a program is behind package gateway; HTTP is that of net/http. The program is
// taken for hostile, and so are clients.
package cgi
