// A net/http server to be observed. It prints what it answered, a line each.
package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	downloadBytes = 8 << 20
	guid          = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

func main() {
	err := http.ListenAndServe(os.Args[1], http.HandlerFunc(logged))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func logged(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if r.Method == http.MethodConnect {
		path = "_other"
	}
	status := serve(w, r)
	if status == 0 {
		fmt.Println(r.Method, path, "aborted")
		// Or net/http would still end the answer properly, for nobody.
		panic(http.ErrAbortHandler)
	}
	fmt.Println(r.Method, path, status)
}

// The status of the answer; 0 where the client left before it was whole.
func serve(w http.ResponseWriter, r *http.Request) int {
	if r.Method == http.MethodConnect {
		return tunnel(w)
	}
	flush := w.(http.Flusher).Flush
	status := http.StatusOK
	switch r.URL.Path {
	case "/plain":
		io.WriteString(w, "plain\n")
	case "/empty":
		status = http.StatusNoContent
		w.WriteHeader(status)
	case "/fresh":
		status = http.StatusNotModified
		w.WriteHeader(status)
	case "/broken":
		status = http.StatusServiceUnavailable
		w.WriteHeader(status)
	case "/echo":
		if _, err := io.Copy(w, r.Body); err != nil {
			return 0
		}
	case "/stream":
		for part := range 3 {
			fmt.Fprintf(w, "part %d\n", part)
			flush()
		}
	case "/trailers":
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body\n")
		flush()
		w.Header().Set("X-Sum", "5")
	case "/hints":
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		io.WriteString(w, "hinted\n")
	case "/refuse":
		status = http.StatusRequestEntityTooLarge
		w.Header().Set("Connection", "close")
		w.WriteHeader(status)
		io.WriteString(w, "too large\n")
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		for event := 0; r.Context().Err() == nil; event++ {
			fmt.Fprintf(w, "data: %d\n\n", event)
			flush()
			time.Sleep(10 * time.Millisecond)
		}
		return 0
	case "/download":
		w.Header().Set("Content-Length", fmt.Sprint(downloadBytes))
		block := make([]byte, 64<<10)
		for sent := 0; sent < downloadBytes; sent += len(block) {
			w.Write(block)
		}
	case "/upload":
		taken, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return 0
		}
		fmt.Fprintln(w, taken)
	case "/websocket":
		return socket(w, r)
	default:
		status = http.StatusNotFound
		http.Error(w, "not found", status)
	}
	return status
}

// Says back whatever comes through.
func tunnel(w http.ResponseWriter) int {
	connection, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return 0
	}
	defer connection.Close()
	io.WriteString(connection, "HTTP/1.1 200 Connection established\r\n\r\n")
	io.Copy(connection, buffered)
	return http.StatusOK
}

// Says back each frame until one closes (RFC 6455).
func socket(w http.ResponseWriter, r *http.Request) int {
	connection, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return 0
	}
	defer connection.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + guid))
	fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	for echoed(connection, buffered.Reader) {
	}
	return http.StatusSwitchingProtocols
}

// One frame of up to 125 bytes; false behind the last.
func echoed(connection net.Conn, from *bufio.Reader) bool {
	var head [6]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return false
	}
	payload := make([]byte, head[1]&0x7f)
	if _, err := io.ReadFull(from, payload); err != nil {
		return false
	}
	for at := range payload {
		payload[at] ^= head[2+at%4]
	}
	connection.Write(append([]byte{head[0], byte(len(payload))}, payload...))
	return head[0]&0x0f != 8
}
