"""What an actor is given, without Ray."""

import threading

import pyarrow as pa

from hf_assets.engines.ray_worker import _Feed
from hf_assets.engines.unit import Unit


def test_a_unit_is_given_once_it_is_begun_so_that_the_next_one_may_go_elsewhere() -> None:
    feed, units = _Feed(), [Unit(number, pa.table({})) for number in range(2)]
    giving = threading.Thread(target=feed.put, args=(units[0],), daemon=True)
    giving.start()
    giving.join(0.2)
    assert giving.is_alive()
    assert feed.take() == units[:1]
    giving.join(30)
    assert not giving.is_alive()
    feed.end()
    feed.put(units[1])  # at the end nobody waits
