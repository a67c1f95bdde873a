package proxies

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// loadBalancer is a load balancer for the doctor.
type loadBalancer struct {
	url, ca, certificate string
}

// startLoadBalancer runs a configuration before g, with a certificate for its address.
func startLoadBalancer(t *testing.T, g *harness.Gateway, mail harness.Certificate, file string, edit func(text string) string) loadBalancer {
	t.Helper()
	m := harness.NewMasterKey(t, "p256")
	own := m.Issue(t, harness.CertificateOptions{Subject: "/CN=" + harness.ProxyAddress, Extensions: "subjectAltName = IP:" + harness.ProxyAddress + "\n"})
	key := string(m.ReadFile(t, "p256.key"))
	m.WriteFile(t, "server.crt", string(own.PEM))
	m.WriteFile(t, "server.pem", string(own.PEM)+key)
	m.WriteFile(t, "mail.crt", string(mail.PEM))
	at := func(name string) string { return filepath.Join(m.Dir, name) }
	p := startProxy(t, proxyOptions{file, map[string]string{
		"SERVER_CERT": at("server.crt"), "SERVER_KEY": at("p256.key"), "SERVER_PEM": at("server.pem"), "GATEWAY": g.Addr,
	}, edit})
	return loadBalancer{"https://" + p.addr, at(m.CertFile), at("mail.crt")}
}

// wantFindings expects these lines, each with its verdict, check and a part of its text, and
// no other problem.
func (p loadBalancer) wantFindings(t *testing.T, code int, want ...[3]string) {
	t.Helper()
	result := harness.Run(t, "certgate", nil, "doctor", "--url", p.url, "--ca", p.ca, "--cert", p.certificate, "--json")
	var output struct {
		OK       bool                                    `json:"ok"`
		Findings []struct{ Verdict, Check, Text string } `json:"findings"`
	}
	if err := json.Unmarshal([]byte(result.Stdout), &output); err != nil || result.Stderr != "" {
		t.Fatalf("want JSON, found %+v: %v", result, err)
	}
	if result.ExitCode != code || output.OK != (code == 0) {
		t.Errorf("want exit code %d, found %d", code, result.ExitCode)
	}
	problems := 0
	for _, w := range want {
		found := false
		for _, f := range output.Findings {
			found = found || f.Verdict == w[0] && f.Check == w[1] && strings.Contains(f.Text, w[2])
		}
		if !found {
			t.Errorf("want %q, found\n%s", w, result.Stdout)
		}
		if w[0] == "problem" {
			problems++
		}
	}
	for _, f := range output.Findings {
		if f.Verdict == "problem" {
			problems--
		}
	}
	if problems != 0 {
		t.Errorf("want no other problem, found\n%s", result.Stdout)
	}
}

// TestDoctor examines real proxies with the recommended configurations, and nginx with
// faulty ones.
func TestDoctor(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	env := harness.Env{"ECHO_PATH": "/certgate/echo", "TRUSTED_PROXIES": "127.0.0.1/32"}
	g := harness.NewGateway(t, m, env)
	for _, file := range tlsFiles() {
		t.Run(file, func(t *testing.T) {
			var edit func(string) string
			if strings.HasPrefix(file, "caddy") { // which selects the site by Host
				edit = strings.NewReplacer("app.example", harness.ProxyAddress).Replace
			}
			authority := "ok"
			if strings.HasPrefix(file, "nginx") { // whose $host has no port
				authority = "note"
			}
			startLoadBalancer(t, g, mail, file, edit).wantFindings(t, 0,
				[3]string{"ok", "connection", " and TLS 1."},
				[3]string{"ok", "echo", "of client mail"},
				[3]string{"ok", "forms", "percent, form, spaced, escaped, joined, base64, der, rfc9440, xfcc"},
				[3]string{"ok", "header size", "16 KiB"},
				[3]string{"ok", "headers", "once and under its name"},
				[3]string{"ok", "X-Forwarded-For", `"127.0.0.1"`},
				[3]string{"ok", "spoofed X-Forwarded-For", "replaced"},
				[3]string{"ok", "proxy headers", "X-Forwarded-Host, X-Forwarded-Proto, X-Request-Id"},
				[3]string{"ok", "path and query", "?q=a%20b+c%2Fd&q=&Q=1"},
				[3]string{"ok", "path normalization", "/a//b"},
				[3]string{"ok", "signature", "Content-Digest, Signature-Input, Signature"},
				[3]string{authority, "authority", "sign for " + harness.ProxyAddress},
				[3]string{"ok", "hop", "reuses its connections"})
		})
	}
	faulty := map[string]struct {
		edit func(text string) string
		want [][3]string
	}{
		"small buffers": {strings.NewReplacer("4 32k;", "4 2k;").Replace, [][3]string{{"problem", "header size", "only 1 KiB arrive"}}},
		"underscores":   {strings.NewReplacer("4 32k;", "4 32k; underscores_in_headers on;").Replace, [][3]string{{"ok", "underscores", "under its name"}}},
		"header overwritten": {strings.NewReplacer("proxy_set_header Host", "proxy_set_header X-SSL-Auth $ssl_client_escaped_cert; proxy_set_header Host").Replace,
			[][3]string{{"problem", "echo", "finds no certificate in X-SSL-Auth: configure the load balancer to forward X-SSL-Auth"}}},
		"X-Forwarded-For passed on": {strings.NewReplacer("proxy_set_header X-Forwarded-For $remote_addr;", "").Replace,
			[][3]string{{"problem", "X-Forwarded-For", "sends none"}, {"problem", "spoofed X-Forwarded-For", "a client can choose its address"}}},
		"X-Forwarded-Host passed on": {strings.NewReplacer("proxy_set_header X-Forwarded-Host $host;", "").Replace,
			[][3]string{{"problem", "proxy headers", "own X-Forwarded-Host"}}},
		"X-Request-Id passed on": {strings.NewReplacer("proxy_set_header X-Request-Id $request_id;", "").Replace,
			[][3]string{{"problem", "proxy headers", "own X-Request-Id arrives"}}},
		"another host": {strings.NewReplacer("proxy_set_header Host $host;", "proxy_set_header Host gateway.internal;", "X-Forwarded-Host $host", "X-Forwarded-Host gateway.internal").Replace,
			[][3]string{{"note", "authority", `expects "gateway.internal": set PUBLIC_AUTHORITY=` + harness.ProxyAddress}}},
		"signature dropped": {strings.NewReplacer("proxy_set_header Host $host;", "proxy_set_header Host $host; proxy_set_header Signature \"\";").Replace,
			[][3]string{{"problem", "signature", "Signature does not arrive"}}},
		"path decoded": {strings.NewReplacer("proxy_pass http://certgate;", "proxy_pass http://certgate/;").Replace,
			[][3]string{
				{"problem", "path normalization", "normalizes paths before it forwards them: /a//b, /a/../b, /a/./b, /a/%2e%2e/b, /a%2Fb arrive"},
				{"note", "path and query", "another encoding of the same path, which makes no difference for access rules: /%41"},
			}},
		"path decoded, slashes kept": {strings.NewReplacer("proxy_pass http://certgate;", "proxy_pass http://certgate/;", "location / {", "merge_slashes off; location / {").Replace,
			[][3]string{
				{"problem", "path normalization", "normalizes paths before it forwards them: /a/../b, /a/./b, /a/%2e%2e/b"},
				{"ok", "path normalization", "the gateway refuses them: /a//b"},
				{"note", "path and query", "/%41"},
			}},
		"no keep-alive": {strings.NewReplacer("proxy_http_version 1.1;", "").Replace,
			[][3]string{{"note", "hop", "HTTP/1.0"}, {"note", "hop", "a connection of its own"}}},
		"a form blocked, another cut": {strings.NewReplacer("location / {", `if ($http_x_ssl_auth ~ "^:") { return 403; }
			if ($http_x_certgate_canary_form ~ "^:") { return 403; }
			set $auth $http_x_ssl_auth;
			if ($auth ~ "^(-----BEGIN CERTIFICATE-----M.{300})") { set $auth $1; }
			set $form $http_x_certgate_canary_form;
			if ($form ~ "^(-----BEGIN CERTIFICATE-----M.{300})") { set $form $1; }
			location / { proxy_set_header X-SSL-Auth $auth; proxy_set_header X-Certgate-Canary-Form $form;`).Replace,
			[][3]string{
				{"problem", "form rfc9440", "the load balancer responds with 403; send it as base64"}, {"problem", "form joined", "truncated to 328 of"},
				{"ok", "forms", "percent, form, spaced, escaped, base64, der, xfcc"},
			}},
	}
	for name, test := range faulty {
		t.Run(name, func(t *testing.T) {
			code := 0
			if test.want[0][0] == "problem" {
				code = 1
			}
			startLoadBalancer(t, g, mail, "nginx-tls.conf", test.edit).wantFindings(t, code, test.want...)
		})
	}
	t.Run("certificate header passed on", func(t *testing.T) {
		believing := harness.NewGateway(t, m, env.With(harness.Env{"AUTH_PROXY_HEADER": proxyHeader}))
		startLoadBalancer(t, believing, mail, "nginx-tls.conf", nil).wantFindings(t, 1,
			[3]string{"problem", "proxy headers", "every client can impersonate any other client: a client's own X-SSL-Client-Cert"})
	})
	t.Run("no echo", func(t *testing.T) {
		silent := harness.NewGateway(t, m, harness.Env{"ACCESS_RULES": "rules: [{name: a, clients: [mail], allow: [GET /events]}]"})
		startLoadBalancer(t, silent, mail, "nginx-tls.conf", nil).wantFindings(t, 1, [3]string{"problem", "echo", "set ECHO_PATH=/certgate/echo"})
		silent.Upstream.WantNothing(t)
	})
}
