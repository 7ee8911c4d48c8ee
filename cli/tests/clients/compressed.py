"""Speaks permessage-deflate by the package `websockets` with a server whose room greets and echoes."""

import itertools
import os
import sys

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

line = "a line of text that comes again and again\n"
url = f"ws://{sys.argv[1]}/party/python"


def text(length):
    return (line * (length // len(line) + 1))[:length]


def speaks(**asked):
    offer = ClientPerMessageDeflateFactory(**asked)
    with connect(url, extensions=[offer], compression=None) as socket:
        assert [extension.name for extension in socket.protocol.extensions] == ["permessage-deflate"]
        assert socket.recv() == line * 100
        for length in [0, 1, 600, 70_000, 300_000]:
            for message in [text(length), os.urandom(length)]:
                socket.send(message)
                assert socket.recv() == message, (asked, length)
        # In fragments.
        socket.send(text(100) for _ in range(50))
        assert socket.recv() == text(100) * 50


count = 0
for server_bits, client_bits, server_forgets, client_forgets in itertools.product(
    [None, 9, 12, 15], [True, 9, 12, 15], [False, True], [False, True]
):
    speaks(
        server_no_context_takeover=server_forgets,
        client_no_context_takeover=client_forgets,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )
    count += 1
print(f"{count} sockets, all whole")
