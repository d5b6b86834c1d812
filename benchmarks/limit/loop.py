"""The limit of Python: limit/loop.c again, with nothing between epoll and send() but the interpreter.

Usage: `loop.py --port P [--join]`; prints `ready` when it listens. It speaks only the benchmark's own messages.
"""

import _socket
import argparse
import base64
import hashlib
import json
import select
import socket

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
UNSENT_LIMIT = 1024 * 1024  # of a client that does not read; then it is closed


class Client:
    """A socket, what was read of a request that is not complete, and what the kernel had no room for."""

    __slots__ = ("input", "open", "send", "sock", "unsent")

    def __init__(self, sock):
        self.sock, self.send = sock, sock.send
        self.input, self.unsent, self.open = b"", b"", False


def frame_of(opcode, payload):
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def text_of(payload):
    return frame_of(1, json.dumps({"channel": "bench", "payload": payload}, separators=(",", ":")).encode())


def unmask(payload, key):
    size = len(payload)
    wide = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(wide, "big")).to_bytes(size, "big")


def next_frame(data):
    """Return the opcode and payload of the first frame and what comes after it; None while it is not complete."""
    if len(data) < 6:
        return None
    size, at = data[1] & 0x7F, 2
    if size > 125:
        at = 4 if size == 126 else 10
        size = int.from_bytes(data[2:at], "big")
    end = at + 4 + size
    if len(data) < end:
        return None
    return data[0] & 0x0F, unmask(data[at + 4 : end], data[at : at + 4]), data[end:]


class Loop:
    """One thread, one epoll."""

    def __init__(self, port, *, join):
        self.join, self.clients, self.poller = join, {}, select.epoll()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.poller.register(self.listener.fileno(), select.EPOLLIN)

    def run(self):
        accepting, clients, poll = self.listener.fileno(), self.clients, self.poller.poll
        while True:
            for fd, events in poll():
                if fd == accepting:
                    self.accept()
                elif client := clients.get(fd):  # else closed by an event before this one
                    if events & select.EPOLLOUT:
                        self.send_unsent(client)
                    if events & ~select.EPOLLOUT:
                        self.read(client)

    def accept(self):
        try:
            while True:
                fd, _ = self.listener._accept()
                sock = _socket.socket(fileno=fd)
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.clients[fd] = Client(sock)
                self.poller.register(fd, select.EPOLLIN)
        except BlockingIOError:
            pass

    def close(self, client):
        self.clients.pop(client.sock.fileno(), None)
        client.sock.close()

    def read(self, client):
        try:
            data = client.sock.recv(256 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(client)
            return
        client.input += data
        if not client.open:
            self.shake_hands(client)
        while client.open and (frame := next_frame(client.input)):
            opcode, payload, client.input = frame
            self.answer(client, opcode, payload)

    def shake_hands(self, client):
        head, found, rest = client.input.partition(b"\r\n\r\n")
        if not found:
            return
        key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.send(client, answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        client.input, client.open = rest, True

    def answer(self, client, opcode, payload):
        if opcode == 1:
            request = json.loads(payload)["payload"]
            if "broadcast" in request:
                self.broadcast(**request["broadcast"])
            else:
                self.send(client, text_of({"echo": request["echo"]}))
        elif opcode == 9:
            self.send(client, frame_of(10, payload))
        elif opcode == 8:
            self.send(client, frame_of(8, payload))
            client.open = False
            self.close(client)

    def broadcast(self, burst, size):
        if self.join:
            self.send_all(b"".join(text_of({"n": n, "pad": "x" * size}) for n in range(burst)))
            return
        for n in range(burst):
            self.send_all(text_of({"n": n, "pad": "x" * size}))

    def send_all(self, data):
        size = len(data)
        for client in [client for client in self.clients.values() if client.open]:
            if client.unsent:
                self.keep(client, data)
                continue
            try:
                sent = client.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                continue  # the end of the socket will be read
            if sent != size:
                self.keep(client, data[sent:])

    def send(self, client, data):
        try:
            sent = 0 if client.unsent else client.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return
        if sent != len(data):
            self.keep(client, data[sent:])

    def keep(self, client, data):
        """Let wait what a client does not take: a server that drops or tears frames would be no server."""
        client.unsent += data
        if len(client.unsent) > UNSENT_LIMIT:
            self.close(client)
        else:
            self.poller.modify(client.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def send_unsent(self, client):
        try:
            client.unsent = client.unsent[client.send(client.unsent) :]
        except OSError:
            return
        if not client.unsent:
            self.poller.modify(client.sock.fileno(), select.EPOLLIN)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--join", action="store_true")
    options = parser.parse_args()
    loop = Loop(options.port, join=options.join)
    print("ready", flush=True)
    loop.run()
