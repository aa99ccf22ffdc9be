"""How work is run, and never what: units, the engines that give them to workers, threads, and the lock of a device.

`unit` has the interfaces (`Unit`, `Work`, `Worker`, `Engine`); `this_process` is the engine that needs nothing,
`ray_cluster` the one for more than one device: `ray_driver` gives units to the actors of `ray_worker`, and `handout`
knows which unit is next, and what becomes of those whose worker died.
`compute` holds what only changes the speed. `device_lock.hold` keeps a device for one process of this machine at a
time, and is released by the operating system when its process dies; `ahead.map_ahead` applies a function in threads,
in order, with bounded memory.

Nothing of what runs here changes a result: devices, threads and batch sizes are in no key. Open `unit` first.
"""
