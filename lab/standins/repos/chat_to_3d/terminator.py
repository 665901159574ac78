"""Ends the page from outside, with the process id that the page hands out at port 12345."""

import os
import signal
import socket


class TrellisTerminator:
    def __init__(self, host="localhost", port=12345):
        self.host = host
        self.port = port

    def is_server_running(self):
        try:
            with socket.create_connection((self.host, self.port), timeout=0.5):
                return True
        except OSError:
            return False

    def terminate_and_wait(self):
        with socket.create_connection((self.host, self.port), timeout=5) as client:
            client.send(b"terminate")
            answer = client.recv(1024)
        if answer.startswith(b"terminating:"):
            os.kill(int(answer.partition(b":")[2]), signal.SIGTERM)
            return True
        return False


if __name__ == "__main__":
    TrellisTerminator().terminate_and_wait()
