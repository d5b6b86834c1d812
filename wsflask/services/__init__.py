"""The services that come with wsflask; they know documents and the hub, never sockets, Flask or one another."""
