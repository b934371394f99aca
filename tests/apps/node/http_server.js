// A node:http server to be observed. It prints what it answered, a line each.
"use strict";
const http = require("node:http");
const { WebSocketServer } = require("ws");

const DOWNLOAD = Buffer.alloc(8 << 20);

const routes = {
  "/plain": (_, response) => response.end("plain\n"),
  "/empty": (_, response) => response.writeHead(204).end(),
  "/fresh": (_, response) => response.writeHead(304).end(),
  "/broken": (_, response) => response.writeHead(503).end(),
  "/echo": (request, response) => request.pipe(response),
  "/download": (_, response) => response.end(DOWNLOAD),
  "/stream": (_, response) => {
    for (let part = 0; part < 3; part++) response.write(`part ${part}\n`);
    response.end();
  },
  "/trailers": (_, response) => {
    response.writeHead(200, { Trailer: "X-Sum" });
    response.write("body\n");
    response.addTrailers({ "X-Sum": "5" });
    response.end();
  },
  "/hints": (_, response) => {
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    response.writeProcessing();
    response.end("hinted\n");
  },
  "/refuse": (_, response) => response.writeHead(413, { Connection: "close" }).end("too large\n"),
  "/events": (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    let event = 0;
    const timer = setInterval(() => response.write(`data: ${event++}\n\n`), 10);
    response.on("close", () => clearInterval(timer));
  },
  "/upload": (request, response) => {
    let taken = 0;
    request.on("data", (piece) => (taken += piece.length));
    request.on("end", () => response.end(`${taken}\n`));
  },
};

const server = http.createServer((request, response) => {
  response.on("close", () => {
    const outcome = response.writableFinished ? response.statusCode : "aborted";
    console.log(request.method, request.url, outcome);
  });
  // A client that leaves is an event, not an error of ours.
  request.on("error", () => {});
  const route = routes[request.url];
  if (route) route(request, response);
  else response.writeHead(404).end("not found\n");
});

const sockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (accepted) => {
    console.log(request.method, request.url, 101);
    accepted.on("message", (data, binary) => accepted.send(data, { binary }));
  });
});
server.on("connect", (request, socket, head) => {
  console.log("CONNECT", "_other", 200);
  socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
  socket.write(head);
  socket.pipe(socket);
});

server.keepAliveTimeout = 60_000;
const [host, port] = process.argv[2].split(":");
server.listen(Number(port), host);
