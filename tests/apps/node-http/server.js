// An ordinary node:http server to be observed.
"use strict";
const http = require("node:http");

const server = http.createServer((request, response) => {
  const [, first, second, third] = request.url.split("/");
  if (request.method === "GET" && first === "v1" && second === "shops" && third) {
    response.end(`shop ${third}\n`);
  } else if (request.method === "POST" && first === "echo") {
    request.pipe(response);
  } else if (request.method === "GET" && first === "status") {
    const code = Number(second);
    response.statusCode = code >= 200 && code <= 599 ? code : 400;
    response.end();
  } else if (request.method === "GET" && first === "stream") {
    // Without a length, each write leaves as a chunk of its own.
    for (let part = 0; part < Number(second); part++) response.write(`part ${part}\n`);
    response.end();
  } else {
    response.statusCode = 404;
    response.end("not found\n");
  }
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[3]), process.argv[2]);
