package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

type healthCommand struct {
	URL string `help:"The URL of the health check. Default: /healthz at LISTEN_ADDR (default :8080) on this machine." placeholder:"URL"`
}

// Help is the long text of certgate health --help.
func (healthCommand) Help() string {
	return `The exit code is 0 if the gateway responds with 200 within three seconds, otherwise 1.
The container image uses this command as its HEALTHCHECK, because it needs no shell and
no curl.

Example:

  LISTEN_ADDR=:8080 certgate health`
}

// Run sends one request to the health check.
func (h healthCommand) Run(ctx context.Context, env environment) error {
	url := h.URL
	if url == "" {
		var err error
		if url, err = healthURL(env.variables()["LISTEN_ADDR"]); err != nil {
			return usageError{err}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil || req.URL.Host == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return usageError{fmt.Errorf("--url: want http:// or https:// with a host, found %q", url)}
	}
	client := &http.Client{
		Transport: &http.Transport{Proxy: nil},
		// The status of another URL is not the gateway's health.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: want 200, found %s", url, res.Status)
	}
	_, err = fmt.Fprintln(env.stdout, "ok")
	return err
}

// healthURL returns the URL of /healthz at a LISTEN_ADDR, whose host may be empty.
func healthURL(listen string) (string, error) {
	if listen == "" {
		listen = ":8080"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("LISTEN_ADDR: want host:port, found %q", listen)
	}
	if port == "0" {
		return "", errors.New("LISTEN_ADDR: want the port on which the gateway listens, found 0; use --url")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/healthz", nil
}
