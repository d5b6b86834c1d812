"""The limit of Python: limit/loop.c again, with only the interpreter between epoll and send().

Usage: `loop.py --port P [--join]`; prints `ready` when it listens. It speaks only the benchmark's own messages.
"""

import _socket
import argparse
import base64
import contextlib
import hashlib
import json
import select
import socket

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
READ_SIZE = 65536
UNSENT_LIMIT = 1024 * 1024  # of a client that does not read; then it is closed

encode = json.JSONEncoder(separators=(",", ":")).encode


class Client:
    """A socket, a request that was cut, and what the kernel had no room for."""

    __slots__ = ("input", "open", "recv", "send", "sock", "unsent")

    def __init__(self, sock):
        self.sock, self.recv, self.send = sock, sock.recv, sock.send
        self.input, self.unsent, self.open = b"", b"", False


def frame_of(opcode, payload):
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def text_of(payload):
    return frame_of(1, encode({"channel": "bench", "payload": payload}).encode())


def next_frame(data):
    """Return opcode and payload of the first frame and what follows it; None while it is not complete."""
    if len(data) < 6:
        return None
    size, at = data[1] & 0x7F, 2
    if size > 125:
        at = 4 if size == 126 else 10
        size = int.from_bytes(data[2:at], "big")
    begin, end = at + 4, at + 4 + size
    if len(data) < end:
        return None
    key = (data[at:begin] * (size // 4 + 1))[:size]
    plain = int.from_bytes(data[begin:end], "big") ^ int.from_bytes(key, "big")
    return data[0] & 0x0F, plain.to_bytes(size, "big"), data[end:]


class Loop:
    """One thread, one epoll."""

    def __init__(self, port, *, join):
        self.join, self.clients, self.poller = join, {}, select.epoll()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.poller.register(self.listener.fileno(), select.EPOLLIN)

    def run(self):
        listener, clients, poll = self.listener.fileno(), self.clients, self.poller.poll
        while True:
            for fd, events in poll():
                if fd == listener:
                    self.accept()
                elif client := clients.get(fd):  # else an event before this one closed it
                    if events & select.EPOLLOUT:
                        self.send(client, b"")
                    if events & ~select.EPOLLOUT:
                        self.read(client)

    def accept(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                fd, _ = self.listener._accept()
                sock = _socket.socket(fileno=fd)
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.clients[fd] = Client(sock)
                self.poller.register(fd, select.EPOLLIN)

    def close(self, client):
        self.clients.pop(client.sock.fileno(), None)
        client.sock.close()
        client.open = False

    def read(self, client):
        try:
            data = client.recv(READ_SIZE)
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
        client.input, client.open = rest, True
        self.send(client, answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def answer(self, client, opcode, payload):
        if opcode == 1:
            request = json.loads(payload)["payload"]
            if "echo" in request:
                self.send(client, text_of({"echo": request["echo"]}))
            else:
                self.broadcast(**request["broadcast"])
        elif opcode == 9:
            self.send(client, frame_of(10, payload))
        elif opcode == 8:
            self.send(client, frame_of(8, payload))
            self.close(client)

    def broadcast(self, burst, size):
        frames = (text_of({"n": n, "pad": "x" * size}) for n in range(burst))
        for data in [b"".join(frames)] if self.join else frames:
            full, slow = len(data), []
            for client in self.clients.values():
                if client.unsent or not client.open:
                    slow.append((client, data))
                    continue
                try:
                    sent = client.send(data)
                except OSError:
                    sent = 0
                if sent != full:
                    slow.append((client, data[sent:]))
            for client, rest in slow:
                if client.open:
                    self.send(client, rest)

    def send(self, client, data):
        """Send what waits and then `data`; what a client does not take waits, up to a limit."""
        data = client.unsent + data
        try:
            sent = client.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # its end will be read
        waited, client.unsent = client.unsent, data[sent:]
        if len(client.unsent) > UNSENT_LIMIT:
            self.close(client)
        elif bool(waited) != bool(client.unsent):
            self.poller.modify(client.sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if client.unsent else 0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--join", action="store_true")
    options = parser.parse_args()
    loop = Loop(options.port, join=options.join)
    print("ready", flush=True)
    loop.run()
