"""The process that talks to object stores for a forked one; see `object_client`."""

import os
import signal
import sys
from multiprocessing.connection import Connection

from hf_assets.blobs import object_client


def main(descriptor: int) -> None:
    """Answer calls until the process that asks is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides when to stop
    connection = Connection(descriptor)
    while True:
        try:
            address, verb, arguments = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        result: object = None
        failure: Exception | None = None
        try:
            result = object_client.call(address, verb, *arguments)
        except Exception as error:
            failure = error
        connection.send((result, failure))


if __name__ == "__main__":
    main(int(sys.argv[1]))
