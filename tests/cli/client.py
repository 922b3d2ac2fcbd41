"""The other end of a VM's sockets, as people use them.

client.py qmp SOCKET COMMAND...     runs QMP commands; prints the answers, one JSON a line
client.py hold SOCKET               takes part in the conversation, says "held", stays until its
                                    standard input ends
client.py view SOCKET               prints what comes until the other end closes
client.py type SOCKET TEXT          types TEXT and prints what comes until TEXT has come back
"""
import json
import socket
import sys


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(path)
    return s


def qmp_open(path):
    f = connect(path).makefile("rw")
    f.readline()
    qmp_run(f, "qmp_capabilities")
    return f


def qmp_run(f, name):
    f.write(json.dumps({"execute": name}) + "\n")
    f.flush()
    for line in f:
        message = json.loads(line)
        if "return" in message or "error" in message:
            return message
    return None


def view(path, text=None):
    s = connect(path)
    if text is None:
        s.settimeout(60)
    else:
        s.sendall(text.encode())
    seen = b""
    while text is None or text.encode() not in seen:
        chunk = s.recv(65536)
        if not chunk:
            break
        seen += chunk
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def main():
    what, path, *words = sys.argv[1:]
    if what == "qmp":
        f = qmp_open(path)
        for word in words:
            print(json.dumps(qmp_run(f, word)))
    elif what == "hold":
        f = qmp_open(path)
        print("held", flush=True)
        sys.stdin.read()
        print(json.dumps(qmp_run(f, "query-status")), flush=True)
    elif what == "view":
        view(path)
    elif what == "type":
        view(path, words[0])


main()
