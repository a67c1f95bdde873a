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
	URL string `help:"What to ask; by default /healthz at LISTEN_ADDR (default :8080) on this machine." placeholder:"URL"`
}

// Help is the long text of certgate health --help.
func (healthCommand) Help() string {
	return `Exit code 0 when the gateway answers 200 within three seconds, else 1. It is the container's
HEALTHCHECK: it needs no shell and no curl.

Example:

  LISTEN_ADDR=:8080 certgate health`
}

// Run asks once.
func (h healthCommand) Run(ctx context.Context, s surroundings) error {
	url := h.URL
	if url == "" {
		var err error
		if url, err = healthURL(s.variables()["LISTEN_ADDR"]); err != nil {
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
		// Another place's 200 says nothing about the gateway.
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
	_, err = fmt.Fprintln(s.stdout, "ok")
	return err
}

// healthURL is /healthz at a LISTEN_ADDR, which may name no host.
func healthURL(listen string) (string, error) {
	if listen == "" {
		listen = ":8080"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("LISTEN_ADDR: want host:port, found %q", listen)
	}
	if port == "0" {
		return "", errors.New("LISTEN_ADDR: port 0 does not tell where the gateway listens; give --url")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/healthz", nil
}
