"""Python's clients (requests, httpx, aiohttp): do what the arguments name, and print what they
issued and saw."""

import asyncio
import collections
import json
import socket
import sys

import aiohttp
import httpx
import requests

ADDRESS = sys.argv[1]
BASE = f"http://{ADDRESS}"
ISSUED = collections.Counter()
SESSION = requests.Session()


def send(method, path, **more):
    response = SESSION.request(method, BASE + path, timeout=30, **more)
    ISSUED[f"{method} {path} {response.status_code}"] += 1


async def concurrent():
    async with httpx.AsyncClient(timeout=30) as client:
        answers = await asyncio.gather(*(client.get(BASE + "/plain") for _ in range(10)))
    for answer in answers:
        ISSUED[f"GET /plain {answer.status_code}"] += 1


async def expecting():
    async with aiohttp.ClientSession() as session:
        async with session.post(BASE + "/echo", data=b"may I", expect100=True) as answer:
            await answer.read()
            ISSUED[f"POST /echo {answer.status}"] += 1


async def talking():
    """Frames whose payload would be a request, were they not masked and not behind a 101."""
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(BASE + "/websocket") as channel:
            ISSUED["GET /websocket 101"] += 1
            for _ in range(3):
                await channel.send_str("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
                await channel.receive_str()


def plain():
    for _ in range(5):
        send("GET", "/plain")
    send("GET", "/plain", headers={"Connection": "close"})
    asyncio.run(concurrent())


def hints():
    """With httpx: requests takes an early hint for the answer."""
    answer = httpx.get(BASE + "/hints", timeout=30)
    ISSUED[f"GET /hints {answer.status_code}"] += 1


def upload():
    send("POST", "/upload", data=bytes(8 << 20))
    send("PUT", "/upload", data=(bytes(64 << 10) for _ in range(128)))


def events():
    """Three events, then no more interest."""
    response = requests.get(BASE + "/events", stream=True, timeout=30)
    lines = response.iter_lines(chunk_size=1)
    for _ in range(6):
        next(lines)
    response.close()
    ISSUED["aborted"] += 1


def abort():
    """An upload that stops in the middle, and its connection with it."""
    host, port = ADDRESS.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {8 << 20}\r\n\r\n"
        connection.sendall(head.encode() + bytes(200 << 10))
    ISSUED["aborted"] += 1


BEHAVIOURS = {
    "plain": plain,
    "head": lambda: send("HEAD", "/plain"),
    "empty": lambda: send("GET", "/empty"),
    "fresh": lambda: send("GET", "/fresh"),
    "missing": lambda: send("DELETE", "/missing"),
    "broken": lambda: send("PATCH", "/broken", data=b"{}"),
    "echo": lambda: send("POST", "/echo", data=b"said"),
    "chunked": lambda: send("PUT", "/echo", data=iter([b"said ", b"in ", b"chunks"])),
    "stream": lambda: send("GET", "/stream"),
    "trailers": lambda: send("GET", "/trailers"),
    "hints": hints,
    "expect": lambda: asyncio.run(expecting()),
    "download": lambda: send("GET", "/download"),
    "upload": upload,
    "events": events,
    "abort": abort,
    "websocket": lambda: asyncio.run(talking()),
}

for name in sys.argv[2].split(","):
    if name in BEHAVIOURS:
        BEHAVIOURS[name]()
print(json.dumps(ISSUED))
