// An ordinary net/http server to be observed.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/shops/{shop}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "shop %s\n", r.PathValue("shop"))
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("GET /status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil || code < 200 || code > 599 {
			code = http.StatusBadRequest
		}
		w.WriteHeader(code)
	})
	// Each part leaves as a chunk of its own.
	mux.HandleFunc("GET /stream/{parts}", func(w http.ResponseWriter, r *http.Request) {
		parts, _ := strconv.Atoi(r.PathValue("parts"))
		for part := range parts {
			fmt.Fprintf(w, "part %d\n", part)
			w.(http.Flusher).Flush()
		}
	})
	log.Fatal(http.ListenAndServe(os.Args[1], mux))
}
