"""A proxy on a port of its own. Its connections can be broken while the console runs."""

import contextlib
import socket
import threading


class BreakableProxy:
    def __init__(self, port):
        self.target = port
        self.connections = []
        self.is_broken = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def break_connections(self):
        """Ends all connections, and each new one until `repair`."""
        self.is_broken = True
        for connection in list(self.connections):
            end(connection)

    def repair(self):
        self.is_broken = False

    def close(self):
        self.break_connections()
        self.listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # the proxy was closed
            while True:
                client, _ = self.listener.accept()
                if self.is_broken:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                self.connections += [client, server]
                # The console accepts only its own address as Host and Origin.
                own, real = (f"127.0.0.1:{port}".encode() for port in (self.port, self.target))
                threading.Thread(target=forward, args=(client, server, own, real), daemon=True).start()
                threading.Thread(target=forward, args=(server, client), daemon=True).start()


def forward(source, target, replaced=b"", replacement=b""):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data.replace(replaced, replacement) if replaced else data)
    end(source)
    end(target)


def end(connection):
    # Closing would not wake the thread that is receiving from it.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
