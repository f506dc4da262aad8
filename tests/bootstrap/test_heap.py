import gc
import weakref

from appliance.bootstrap import heap


class Node:
    """Points to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_is_left_alone_and_what_comes_later_is_not() -> None:
    early = Node()
    known = weakref.ref(early)
    try:
        heap.settle()
        del early
        late = Node()
        later = weakref.ref(late)
        del late
        gc.collect()

        assert known() is not None
        assert later() is None
    finally:
        gc.unfreeze()
        gc.collect()
    assert known() is None
