// Node's clients (node:http, undici, ws): do what the arguments name, and print what they issued
// and saw.
"use strict";
const http = require("node:http");
const { Readable } = require("node:stream");
const undici = require("undici");
const WebSocket = require("ws");

const [, , address, names] = process.argv;
const [host, port] = address.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const issued = {};

function count(what) {
  issued[what] = (issued[what] ?? 0) + 1;
}

// One request of node:http; `body` is given to it once `ready`, an event's name, comes.
function send(method, path, { headers = {}, body, ready } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path, headers, agent });
    let interim = 0;
    request.on("information", () => interim++);
    request.on("error", reject);
    request.on("response", (response) => {
      response.resume();
      response.on("end", () => {
        count(`${method} ${path} ${response.statusCode}`);
        resolve(interim);
      });
    });
    if (ready) {
      request.once(ready, () => request.end(body));
      request.flushHeaders();
    } else {
      request.end(body);
    }
  });
}

// The same of undici, whose bodies without a length are sent in chunks.
async function fetched(method, path, body) {
  const origin = `http://${address}`;
  const response = await undici.request(origin + path, { method, body });
  await response.body.arrayBuffer();
  count(`${method} ${path} ${response.statusCode}`);
}

const behaviours = {
  async plain() {
    for (let n = 0; n < 5; n++) await send("GET", "/plain");
    await send("GET", "/plain", { headers: { Connection: "close" } });
    await Promise.all([1, 2, 3].map(() => fetched("GET", "/plain")));
  },
  async pipelined() {
    const client = new undici.Client(`http://${address}`, { pipelining: 10 });
    const one = async () => {
      const response = await client.request({ method: "GET", path: "/plain" });
      await response.body.arrayBuffer();
      count(`GET /plain ${response.statusCode}`);
    };
    await Promise.all(Array.from({ length: 20 }, one));
    await client.close();
  },
  head: () => send("HEAD", "/plain"),
  empty: () => send("GET", "/empty"),
  fresh: () => send("GET", "/fresh"),
  missing: () => send("DELETE", "/missing"),
  broken: () => fetched("PATCH", "/broken", "{}"),
  echo: () => send("POST", "/echo", { headers: { "Content-Length": 4 }, body: "said" }),
  chunked: () => fetched("PUT", "/echo", Readable.from(["said ", "in ", "chunks"])),
  stream: () => fetched("GET", "/stream"),
  trailers: () => send("GET", "/trailers"),
  async hints() {
    if ((await send("GET", "/hints")) === 0) throw new Error("no hint came");
  },
  expect: () =>
    send("POST", "/echo", {
      headers: { Expect: "100-continue", "Content-Length": 5 },
      body: "may I",
      ready: "continue",
    }),
  download: () => fetched("GET", "/download"),
  async upload() {
    await fetched("POST", "/upload", Buffer.alloc(8 << 20));
    const block = Buffer.alloc(64 << 10);
    await fetched("PUT", "/upload", Readable.from(Array(128).fill(block)));
  },
  // Three events, then no more interest.
  events: () =>
    new Promise((resolve, reject) => {
      const request = http.get({ host, port, path: "/events" }, (response) => {
        let events = 0;
        response.on("data", (data) => {
          events += data.toString().split("\n\n").length - 1;
          if (events >= 3) request.destroy();
        });
        response.on("error", () => {});
        response.on("close", resolve);
      });
      request.on("error", reject);
      count("aborted");
    }),
  // An upload that stops in the middle, and its connection with it.
  abort: () =>
    new Promise((resolve) => {
      const headers = { "Content-Length": 8 << 20 };
      const request = http.request({ host, port, method: "POST", path: "/upload", headers });
      request.on("error", resolve);
      request.write(Buffer.alloc(200 << 10), () => request.destroy(new Error("enough")));
      count("aborted");
    }),
  // Frames whose payload would be a request, were they not masked and not behind a 101.
  websocket: () =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`ws://${address}/websocket`, { perMessageDeflate: false });
      let echoes = 0;
      socket.on("error", reject);
      socket.on("open", () => {
        count("GET /websocket 101");
        for (let n = 0; n < 3; n++) socket.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
      });
      socket.on("message", () => ++echoes === 3 && socket.close());
      socket.on("close", resolve);
    }),
  connect: () =>
    new Promise((resolve, reject) => {
      const request = http.request({ host, port, method: "CONNECT", path: "shop:443" });
      request.on("error", reject);
      request.on("connect", (response, socket) => {
        count(`CONNECT _other ${response.statusCode}`);
        socket.once("data", () => socket.end());
        socket.on("close", resolve);
        socket.write("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
      });
      request.end();
    }),
};

(async () => {
  for (const name of names.split(",")) await behaviours[name]?.();
  agent.destroy();
  await undici.getGlobalDispatcher().close();
  console.log(JSON.stringify(issued));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
