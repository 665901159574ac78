#!/usr/bin/env python3
# SECONDS ADDRESS...: requests the headers of each address and prints the result.
#
# Addresses are queried in parallel, since most of the time is waiting. Requests without an answer
# in time are abandoned when the program ends: a silent name server blocks its thread for half a
# minute. Certificates on standard input are trusted too, because the run may be about to install
# them. Python 3.13 checks them more strictly than curl, apt and Docker
# (ssl.create_default_context). On a machine with busy processors, answers are processed late,
# however soon they arrived.

import os
import re
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

seconds, addresses = float(sys.argv[1]), sys.argv[2:]
if os.getloadavg()[0] > (os.cpu_count() or 1):
    seconds *= 4
context = ssl.create_default_context()
context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
given = sys.stdin.buffer.read().decode(errors="replace")
certificates = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", given, re.S)
if certificates:
    context.load_verify_locations(cadata="\n".join(certificates))


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


opener = urllib.request.build_opener(Stay(), urllib.request.HTTPSHandler(context=context))
proxied = urllib.request.getproxies()
answers = dict.fromkeys(addresses, "name no answer")


def ask(address: str) -> str:
    try:
        if not proxied:
            socket.getaddrinfo(urllib.parse.urlsplit(address).hostname, None)
        answers[address] = "connect no answer"
        request = urllib.request.Request(address, method="HEAD")
        return f"http {opener.open(request, timeout=seconds).status}"
    except urllib.error.HTTPError as error:
        return f"http {error.code}"
    except Exception as error:
        reason = getattr(error, "reason", error)
        reason = reason if isinstance(reason, Exception) else error
        step = "connect"
        if isinstance(reason, socket.gaierror):
            step = "name"
        elif isinstance(reason, ssl.SSLError):
            step = "tls"
        words = getattr(reason, "verify_message", "") or getattr(reason, "strerror", "")
        return f"{step} {words or reason or type(reason).__name__}"


def note(address: str) -> None:
    answers[address] = ask(address)


threads = [threading.Thread(target=note, args=[each], daemon=True) for each in addresses]
for thread in threads:
    thread.start()
end = time.monotonic() + seconds
for thread in threads:
    thread.join(max(0, end - time.monotonic()))
for address in addresses:
    print("answer", address, " ".join(answers[address].split()))
sys.stdout.flush()
os._exit(0)
