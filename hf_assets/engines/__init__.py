"""How work is run: threads that run ahead of their consumer, and the lock of a device.

`ahead.map_ahead` applies a function in threads, in order, with bounded memory; `device_lock.hold` keeps a device for
one process of this machine at a time, and is released by the operating system when its process dies.

Nothing of what runs here changes a result: devices, threads and batch sizes are in no key. Open `ahead` first.
"""
