//go:build linux

package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// behaviours are what the handlers do, by the path of the target. All except those in
// unreading run after the body has been read.
var behaviours = map[string]func(w http.ResponseWriter, r *http.Request){
	"/nothing": func(http.ResponseWriter, *http.Request) {},
	"/length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		fmt.Fprint(w, "he")
		fmt.Fprint(w, "llo")
	},
	"/lengthzero": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
	"/short": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "abc")
	},
	"/empty": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "10") },
	"/long": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		fmt.Fprint(w, "abc")
		_, err := fmt.Fprint(w, "defg")
		if !errors.Is(err, http.ErrContentLength) {
			panic(fmt.Sprintf("want ErrContentLength, found %v", err))
		}
	},
	"/over": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		fmt.Fprint(w, "abc")
		_, err := fmt.Fprint(w, "d")
		if !errors.Is(err, http.ErrContentLength) {
			panic(fmt.Sprintf("want ErrContentLength, found %v", err))
		}
	},
	"/large": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pattern(20_000)) },
	"/largelength": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "20000")
		pieces(w, 20_000, 7000)
	},
	"/2048":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pattern(2048)) },
	"/2049":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pattern(2049)) },
	"/pieces":     func(w http.ResponseWriter, _ *http.Request) { pieces(w, 10_000, 999) },
	"/flush":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ab"); flush(w); fmt.Fprint(w, "cd") },
	"/flushfirst": func(w http.ResponseWriter, _ *http.Request) { flush(w); fmt.Fprint(w, "abcd") },
	"/flushonly":  func(w http.ResponseWriter, _ *http.Request) { flush(w) },
	"/flushlength": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		flush(w)
		fmt.Fprint(w, "abcd")
	},
	"/html": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<"); fmt.Fprint(w, "html>") },
	"/htmlbig": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<")
		fmt.Fprint(w, "html>"+string(pattern(5000)))
	},
	"/htmllength": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "6")
		fmt.Fprint(w, "<")
		fmt.Fprint(w, "html>")
	},
	"/202": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusInternalServerError)
	},
	"/204": func(w http.ResponseWriter, _ *http.Request) { noBody(w, 204) },
	"/304": func(w http.ResponseWriter, _ *http.Request) { noBody(w, 304) },
	"/304fields": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "77")
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("ETag", `"x"`)
		noBody(w, 304)
	},
	"/204fields": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "77")
		w.Header().Set("Content-Type", "text/html")
		noBody(w, 204)
	},
	"/205": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusResetContent) },
	"/404": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) },
	"/599": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599); fmt.Fprint(w, "odd") },
	"/close": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "end")
	},
	"/notype": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		fmt.Fprint(w, "<html>")
	},
	"/nodate": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil; fmt.Fprint(w, "x") },
	"/type": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "a/b")
		fmt.Fprint(w, "<html>")
	},
	"/encoded": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		fmt.Fprint(w, "<html>")
	},
	"/late": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Early", "1")
		w.WriteHeader(http.StatusOK)
		w.Header().Set("X-Late", "1")
		w.Header().Set("X-Early", "2")
		fmt.Fprint(w, "x")
	},
	"/values": func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["X-Two"] = []string{"b", "a"}
		h["x-lower"] = []string{"c"}
		h["X-Split"] = []string{"a\r\nX-Evil: 1", "b\nc", "d\re", "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "", "  f\t "}
		h["X-Evil\r\nX-Evil2: 3"] = []string{"x"}
		h["X Evil"] = []string{"x"}
		h["X(Evil)"] = []string{"x"}
		h["X\x80vil"] = []string{"x"}
		h[""] = []string{"x"}
		h["X-None"] = nil
		fmt.Fprint(w, "values")
	},
	"/abort": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"/panic": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret"); panic("on purpose") },
	"/abortpart": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "ab")
		flush(w)
		fmt.Fprint(w, "cd")
		panic(http.ErrAbortHandler)
	},
	"/abortlarge": func(w http.ResponseWriter, _ *http.Request) { pieces(w, 30_000, 3000); panic(http.ErrAbortHandler) },
	"/abortlength": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "abc")
		panic(http.ErrAbortHandler)
	},
	"/unread": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "unread") },
	"/unreadclose": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "unread")
	},
	"/half": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "half") },
	"/shut": func(w http.ResponseWriter, r *http.Request) {
		_ = r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, "shut ", err)
	},
}

// unreading are the behaviours that do not read the body, or read half of it.
var unreading = map[string]bool{"/unread": true, "/unreadclose": true, "/half": true, "/shut": true}

// aborting are the behaviours that do not complete the response.
var aborting = map[string]bool{"/abort": true, "/panic": true, "/abortpart": true, "/abortlarge": true, "/abortlength": true}

func pieces(w http.ResponseWriter, n, size int) {
	for p := range slices.Chunk(pattern(n), size) {
		_, _ = w.Write(p)
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

func noBody(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
		panic(fmt.Sprintf("want ErrBodyNotAllowed, found %v", err))
	}
}
