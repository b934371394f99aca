"""An aiohttp server to be observed. It prints what it answered, a line each."""

import asyncio
import sys

from aiohttp import ClientConnectionError, web

DOWNLOAD = bytes(8 << 20)


async def stream(request):
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for part in range(3):
        await response.write(f"part {part}\n".encode())
    await response.write_eof()
    return response


async def events(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    event = 0
    while True:
        await response.write(f"data: {event}\n\n".encode())
        event += 1
        await asyncio.sleep(0.01)


async def websocket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def echo(request):
    return web.Response(body=await request.read())


async def upload(request):
    taken = 0
    async for piece in request.content.iter_any():
        taken += len(piece)
    return web.Response(text=f"{taken}\n")


async def refuse(_):
    response = web.Response(status=413, body=b"too large\n")
    response.force_close()
    return response


def fixed(status, body=None):
    async def answer(_):
        return web.Response(status=status, body=body)

    return answer


ROUTES = {
    "/plain": fixed(200, b"plain\n"),
    "/empty": fixed(204),
    "/fresh": fixed(304),
    "/broken": fixed(503),
    "/download": fixed(200, DOWNLOAD),
    "/refuse": refuse,
    "/echo": echo,
    "/stream": stream,
    "/events": events,
    "/upload": upload,
    "/websocket": websocket,
}


async def logged(request):
    route = ROUTES.get(request.path, fixed(404, b"not found\n"))
    try:
        response = await route(request)
    except (ClientConnectionError, ConnectionError):
        print(request.method, request.path, "aborted", flush=True)
        raise
    print(request.method, request.path, response.status, flush=True)
    return response


def main():
    host, port = sys.argv[1].split(":")
    application = web.Application(client_max_size=16 << 20)
    application.router.add_route("*", "/{path:.*}", logged)
    web.run_app(application, host=host, port=int(port), print=None, access_log=None)


main()
