// A net/http client: does what its arguments name, and prints what it issued and saw.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"time"
)

const uploadBytes = 8 << 20

var (
	base   = "http://" + os.Args[1]
	issued = map[string]int{}
	client = &http.Client{
		Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Second, DisableCompression: true},
		Timeout:   30 * time.Second,
	}
)

// Without a length known before, so that it is sent in chunks.
type unsized struct{ io.Reader }

// A body that breaks off once something was sent.
type breaking struct{ left int }

func (b *breaking) Read(into []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("no more")
	}
	length := min(len(into), b.left)
	b.left -= length
	return length, nil
}

var behaviours = map[string]func(){
	"plain": func() {
		for range 5 {
			do(http.MethodGet, "/plain", nil, nil)
		}
		do(http.MethodGet, "/plain", nil, func(r *http.Request) { r.Close = true })
	},
	"head":    func() { do(http.MethodHead, "/plain", nil, nil) },
	"empty":   func() { do(http.MethodGet, "/empty", nil, nil) },
	"fresh":   func() { do(http.MethodGet, "/fresh", nil, nil) },
	"missing": func() { do(http.MethodDelete, "/missing", nil, nil) },
	"broken":  func() { do(http.MethodPatch, "/broken", strings.NewReader("{}"), nil) },
	"echo":    func() { do(http.MethodPost, "/echo", strings.NewReader("said"), nil) },
	"chunked": func() {
		do(http.MethodPut, "/echo", unsized{strings.NewReader("said in chunks")}, nil)
	},
	"trailing": func() {
		do(http.MethodPut, "/echo", unsized{strings.NewReader("said in chunks")}, func(r *http.Request) {
			r.Trailer = http.Header{"X-Sum": []string{"14"}}
		})
	},
	"stream":   func() { do(http.MethodGet, "/stream", nil, nil) },
	"trailers": func() { do(http.MethodGet, "/trailers", nil, nil) },
	"hints": func() {
		hints := 0
		trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil }}
		do(http.MethodGet, "/hints", nil, func(r *http.Request) {
			*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
		})
		if hints == 0 {
			fail("/hints", errors.New("no hint came"))
		}
	},
	"expect": func() {
		do(http.MethodPost, "/echo", strings.NewReader("may I"), func(r *http.Request) {
			r.Header.Set("Expect", "100-continue")
		})
	},
	"download": func() { do(http.MethodGet, "/download", nil, nil) },
	"upload": func() {
		do(http.MethodPost, "/upload", bytes.NewReader(make([]byte, uploadBytes)), nil)
		do(http.MethodPut, "/upload", unsized{bytes.NewReader(make([]byte, uploadBytes))}, nil)
	},
	"events": events,
	"abort":  abort,
}

func main() {
	for _, name := range strings.Split(os.Args[2], ",") {
		if behaviour, known := behaviours[name]; known {
			behaviour()
		}
	}
	json.NewEncoder(os.Stdout).Encode(issued)
}

func do(method, path string, body io.Reader, with func(*http.Request)) {
	request, err := http.NewRequest(method, base+path, body)
	fail(path, err)
	if with != nil {
		with(request)
	}
	response, err := client.Do(request)
	fail(path, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	fail(path, err)
	issued[fmt.Sprint(method, " ", path, " ", response.StatusCode)]++
}

// Three events, then no more interest.
func events() {
	response, err := client.Get(base + "/events")
	fail("/events", err)
	lines := bufio.NewReader(response.Body)
	for range 6 {
		_, err := lines.ReadString('\n')
		fail("/events", err)
	}
	response.Body.Close()
	issued["aborted"]++
}

// An upload that stops in the middle, and its connection with it.
func abort() {
	request, err := http.NewRequest(http.MethodPost, base+"/upload", &breaking{200 << 10})
	fail("/upload", err)
	request.ContentLength = uploadBytes
	if response, err := client.Do(request); err == nil {
		fail("/upload", fmt.Errorf("answered with %d", response.StatusCode))
	}
	issued["aborted"]++
}

func fail(path string, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, path, err)
		os.Exit(1)
	}
}
