module observer/tests/go-http

go 1.22
