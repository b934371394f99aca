"""An ASGI application under uvicorn to be observed. It prints what it answered, a line each."""

import asyncio
import sys

import uvicorn

FIXED = {
    "/plain": (200, b"plain\n"),
    "/empty": (204, b""),
    "/fresh": (304, b""),
    "/broken": (503, b""),
    "/refuse": (413, b"too large\n"),
    "/download": (200, bytes(8 << 20)),
}


class Gone(Exception):
    """The client left before the answer was whole."""


async def body(receive):
    whole = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        whole.append(message["body"])
        if not message["more_body"]:
            return b"".join(whole)


async def begin(send, status, *headers):
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def write(send, data, more=False):
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def events(receive, send):
    await begin(send, 200, (b"content-type", b"text/event-stream"))
    gone = asyncio.ensure_future(receive())
    event = 0
    while not gone.done() or gone.result()["type"] != "http.disconnect":
        if gone.done():
            gone = asyncio.ensure_future(receive())
        await write(send, f"data: {event}\n\n".encode(), more=True)
        event += 1
        await asyncio.sleep(0.01)
    raise Gone


async def serve(path, receive, send):
    if path == "/events":
        await events(receive, send)
    if path == "/stream":
        await begin(send, 200)
        for part in range(3):
            await write(send, f"part {part}\n".encode(), more=True)
        await write(send, b"")
        return 200
    if path in ("/echo", "/upload"):
        taken = await body(receive)
        status, answer = 200, taken if path == "/echo" else f"{len(taken)}\n".encode()
    else:
        status, answer = FIXED.get(path, (404, b"not found\n"))
    headers = [] if status in (204, 304) else [(b"content-length", str(len(answer)).encode())]
    if status == 413:
        headers.append((b"connection", b"close"))
    await begin(send, status, *headers)
    await write(send, answer)
    return status


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    try:
        outcome = await serve(scope["path"], receive, send)
    except Gone:
        outcome = "aborted"
    print(scope["method"], scope["path"], outcome, flush=True)


def main():
    host, port = sys.argv[1].split(":")
    uvicorn.run(application, host=host, port=int(port), lifespan="off", log_level="critical")


main()
