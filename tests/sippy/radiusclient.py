#!/usr/bin/env python3
"""The helper by which Sippy B2BUA speaks RADIUS, since PyPI does not bring one: what radiusclient -s is to it.

It reads requests from its standard input, a line for each attribute (Name="value") after one that says AUTH or ACCT,
and an empty line at the end. It sends each with the frame that radcli gives it, and writes the attributes of the
answer (Name = 'value'), a line with the result (0 accepted, 1 refused, -1 no answer), and an empty line.

Its configuration (-f) has a line for each setting: authserver and acctserver (HOST:PORT), secret, and transcript, a
file to which it adds what it sent and what came back.
"""

import hashlib
import json
import os
import socket
import struct
import sys
import time

ACCESS_REQUEST, ACCESS_ACCEPT, ACCESS_REJECT, ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE = 1, 2, 3, 4, 5
USER_PASSWORD, NAS_IP_ADDRESS, NAS_PORT, VENDOR_SPECIFIC, DIGEST_ATTRIBUTES = 2, 4, 5, 26, 207
CISCO = 9

# How long an answer is waited for, and how often the same is sent.
PATIENCE_SECONDS, ATTEMPTS = 5.0, 6

TEXTS = {
    "User-Name": 1, "Calling-Station-Id": 31, "Called-Station-Id": 30, "Acct-Session-Id": 44, "Digest-Response": 206,
}
NUMBERS = {"Acct-Status-Type": 40, "Acct-Delay-Time": 41, "Acct-Session-Time": 46, "Acct-Terminate-Cause": 49}
WORDS = {"Start": 1, "Stop": 2, "Alive": 3, "User-Request": 1}
OF_CISCO = {
    "Cisco-AVPair": 1, "h323-remote-address": 23, "h323-conf-id": 24, "h323-setup-time": 25, "h323-call-origin": 26,
    "h323-call-type": 27, "h323-connect-time": 28, "h323-disconnect-time": 29, "h323-disconnect-cause": 30,
    "h323-voice-quality": 31, "h323-credit-time": 102, "h323-return-code": 103, "h323-billing-model": 109,
    "h323-currency": 110,
}
# Before RFC 5090, after the drafts of B. Sterman.
OF_DIGEST = {
    "Digest-Realm": 1, "Digest-Nonce": 2, "Digest-Method": 3, "Digest-URI": 4, "Digest-Algorithm": 6,
    "Digest-User-Name": 10,
}
NAMES = {number: name for name, number in {**TEXTS, **NUMBERS, "Session-Timeout": 27, "Reply-Message": 18}.items()}
NAMES_OF_CISCO = {number: name for name, number in OF_CISCO.items()}
COUNTED = {27, *NUMBERS.values()}


def attribute(kind, value):
    return bytes([kind, len(value) + 2]) + value


def hidden(password, secret, authenticator):
    """User-Password as it is sent (RFC 2865, 5.2)."""
    password += bytes(-len(password) % 16)
    before, out = authenticator, b""
    for begin in range(0, len(password), 16):
        mask = hashlib.md5(secret + before).digest()
        before = bytes(a ^ b for a, b in zip(password[begin:begin + 16], mask))
        out += before
    return out


def encoded(name, text, secret, authenticator):
    """One attribute by its name in Sippy's dictionary."""
    value = text.encode()
    if name == "Password":
        return attribute(USER_PASSWORD, hidden(value, secret, authenticator))
    if name in TEXTS:
        return attribute(TEXTS[name], value)
    if name in NUMBERS:
        return attribute(NUMBERS[name], struct.pack(">I", WORDS[text] if text in WORDS else int(text)))
    if name in OF_CISCO:
        return attribute(VENDOR_SPECIFIC, struct.pack(">I", CISCO) + attribute(OF_CISCO[name], value))
    if name in OF_DIGEST:
        return attribute(DIGEST_ATTRIBUTES, attribute(OF_DIGEST[name], value))
    raise ValueError(f"no attribute {name}")


def attributes_of(packet):
    """Names and texts of what an answer has, but for what Sippy's dictionary does not name."""
    place = 20
    while place < len(packet):
        kind, length = packet[place], packet[place + 1]
        value = packet[place + 2:place + length]
        place += length
        if kind == VENDOR_SPECIFIC:
            (vendor,) = struct.unpack(">I", value[:4])
            if vendor == CISCO and value[4] in NAMES_OF_CISCO:
                yield NAMES_OF_CISCO[value[4]], value[6:].decode()
        elif kind in NAMES:
            yield NAMES[kind], str(struct.unpack(">I", value)[0]) if kind in COUNTED else value.decode()


class Client:
    """The servers, and a socket towards them."""

    def __init__(self, settings):
        self.secret = settings["secret"].encode()
        self.servers = {}
        for what in ("authserver", "acctserver"):
            host, port = settings[what].rsplit(":", 1)
            self.servers[what] = (host, int(port))
        self.transcript = settings.get("transcript")
        self.identifier = os.urandom(1)[0]

    def ask(self, what, pairs):
        """Attributes of the answer and the result for Sippy."""
        self.identifier = (self.identifier + 1) % 256
        is_call = what == "AUTH"
        code = ACCESS_REQUEST if is_call else ACCOUNTING_REQUEST
        authenticator = os.urandom(16) if is_call else bytes(16)
        body = b"".join(encoded(name, text, self.secret, authenticator) for name, text in pairs)
        if not is_call:
            body += attribute(NAS_PORT, bytes(4))
        body += attribute(NAS_IP_ADDRESS, socket.inet_aton("127.0.0.1"))
        head = struct.pack(">BBH", code, self.identifier, 20 + len(body))
        if not is_call:
            authenticator = hashlib.md5(head + authenticator + body + self.secret).digest()
        request = head + authenticator + body
        reply = self.answer(request, self.servers["authserver" if is_call else "acctserver"])
        if reply is None:
            return [], -1
        accepted = reply[0] == (ACCESS_ACCEPT if is_call else ACCOUNTING_RESPONSE)
        return list(attributes_of(reply)), 0 if accepted else 1

    def answer(self, request, server):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(server)
            for _ in range(ATTEMPTS):
                try:
                    sock.send(request)
                    until = time.monotonic() + PATIENCE_SECONDS
                    while (left := until - time.monotonic()) > 0:
                        sock.settimeout(left)
                        reply = sock.recv(4096)
                        if self.proves(reply, request):
                            return reply
                except OSError:
                    continue
        return None

    def proves(self, reply, request):
        """Whether it is the answer to this, by the secret (RFC 2865, 3)."""
        if len(reply) < 20 or reply[1] != request[1]:
            return False
        reply_length = struct.unpack(">H", reply[2:4])[0]
        proof = hashlib.md5(reply[:4] + request[4:20] + reply[20:reply_length] + self.secret).digest()
        return proof == reply[4:20]

    def record(self, what, pairs, answered, result):
        if self.transcript:
            line = json.dumps({"what": what, "sent": pairs, "answered": answered, "result": result}) + "\n"
            with open(self.transcript, "a", encoding="utf-8") as file:
                file.write(line)


def settings_of(arguments):
    with open(arguments[arguments.index("-f") + 1], encoding="utf-8") as file:
        return dict(line.split(None, 1) for line in file.read().splitlines() if line)


def main():
    client = Client(settings_of(sys.argv))
    lines = []
    for line in sys.stdin:
        line = line.rstrip("\n")
        if line:
            lines.append(line)
            continue
        what, pairs = lines[0], []
        for pair in lines[1:]:
            name, text = pair.split("=", 1)
            pairs.append((name, text.removeprefix('"').removesuffix('"')))
        lines = []
        answered, result = client.ask(what, pairs)
        client.record(what, pairs, answered, result)
        for name, text in answered:
            print(f"{name} = '{text}'")
        print(f"{result}\n", flush=True)


if __name__ == "__main__":
    main()
