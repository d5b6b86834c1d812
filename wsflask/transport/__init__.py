"""The only room that knows sockets and flask-sock: handshake, read, write, close."""
