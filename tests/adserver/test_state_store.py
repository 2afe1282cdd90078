"""What every state store promises, held against each of them."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from adserver.state.disk import DiskStore
from adserver.state.store import StoreFailed, everything, foreseen

SIZE = 64 << 20


def add_one(values):
    number = int(values[0] or b"0") + 1
    return [b"%d" % number], number


def test_what_was_written_is_read_in_the_order_of_the_keys(store):
    store.update([b"a", b"b"], lambda _: ([b"1", b"2"], None))

    assert store.get([b"b", b"c", b"a"]) == [b"2", None, b"1"]


def test_an_update_gives_the_result_of_its_change(store):
    assert [store.update([b"n"], add_one) for _ in range(3)] == [1, 2, 3]


def test_none_deletes_and_the_same_object_stays(store):
    store.update([b"a", b"b"], lambda _: ([b"1", b"2"], None))

    store.update([b"a", b"b"], lambda found: ([None, found[1]], None))

    assert store.get([b"a", b"b"]) == [None, b"2"]


def test_a_change_that_raises_changes_nothing(store):
    store.update([b"a"], lambda _: ([b"1"], None))

    with pytest.raises(ZeroDivisionError):
        store.update([b"a"], lambda _: ([b"2"], 1 // 0))

    assert store.get([b"a"]) == [b"1"]


class Overtaken:
    """A store in which somebody else writes between our reading and our writing."""

    def __init__(self, store, times):
        self.store, self.times = store, times

    def __getattr__(self, name):
        return getattr(self.store, name)

    def update(self, keys, change):
        if self.times:
            self.times -= 1
            self.store.update([b"n"], add_one)
        return self.store.update(keys, change)


@pytest.mark.parametrize(("faster", "calls"), [(0, 1), (1, 2)])
def test_what_was_foreseen_is_computed_again_only_if_somebody_was_faster(store, faster, calls):
    store.update([b"n"], lambda _: ([b"41"], None))
    heard = []

    def change(values):
        heard.append(values[0])
        return add_one(values)

    result = foreseen(Overtaken(store, faster), [b"n"], change)

    assert result == 42 + faster
    assert store.get([b"n"]) == [b"%d" % result]
    assert heard == [b"41", b"42"][:calls]


def test_what_was_foreseen_to_stay_is_not_written(store):
    store.update([b"a", b"b", b"c"], lambda _: ([b"1", b"2", b"3"], None))
    written = []

    class Heard(Overtaken):
        def update(self, keys, change):
            def told(found):
                values, result = change(found)
                both = zip(keys, found, values, strict=True)
                written.extend(one for one, old, new in both if new is not old)
                return values, result

            return self.store.update(keys, told)

    foreseen(Heard(store, 0), [b"a", b"b", b"c"], lambda found: ([found[0], b"9", None], None))

    assert store.get([b"a", b"b", b"c"]) == [b"1", b"9", None]
    assert written == [b"b", b"c"]


def test_a_scan_goes_on_after_the_last_key(store):
    keys = [b"p/%02d" % n for n in range(10)]
    store.update([*keys, b"o/1", b"q/1"], lambda found: ([b"x"] * len(found), None))

    first = store.scan(b"p/", most=4)
    rest = store.scan(b"p/", after=first[-1][0])

    assert [key for key, _ in [*first, *rest]] == keys
    assert [key for key, _ in everything(store, b"p/")] == keys
    assert store.scan(b"r/") == []


def test_threads_that_count_together_lose_nothing(store):
    threads = [
        threading.Thread(target=lambda: [store.update([b"n"], add_one) for _ in range(200)])
        for _ in range(2)
    ] + [
        threading.Thread(target=lambda: [foreseen(store, [b"n"], add_one) for _ in range(200)])
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.get([b"n"]) == [b"800"]


def count_in_another_process(folder, times):
    store = DiskStore(folder, SIZE)
    for _ in range(times):
        store.update([b"n"], add_one)
    store.close()


def test_processes_that_count_together_lose_nothing(tmp_path):
    """Only a store on disk is shared by processes."""
    spawn = multiprocessing.get_context("spawn")
    folder = tmp_path / "state"
    workers = [spawn.Process(target=count_in_another_process, args=(folder, 500)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert DiskStore(folder, SIZE).get([b"n"]) == [b"2000"]


def test_a_process_killed_at_any_moment_leaves_whole_values(tmp_path):
    """Its last commit may be whole and not yet announced to readers: the next writer does that."""
    folder = tmp_path / "state"
    spawn = multiprocessing.get_context("spawn")
    worker = spawn.Process(target=count_in_another_process, args=(folder, 10**9))
    worker.start()
    store = DiskStore(folder, SIZE)
    while int(store.get([b"n"])[0] or 0) < 100:
        pass
    worker.kill()
    worker.join()

    before = int(store.get([b"n"])[0])

    after = store.update([b"n"], add_one)
    assert after in (before + 1, before + 2)
    assert store.get([b"n"]) == [b"%d" % after]
    assert store.update([b"n"], add_one) == after + 1
    store.close()


def test_a_full_store_refuses_what_it_cannot_take_and_keeps_what_it_has(tmp_path):
    store = DiskStore(tmp_path / "state", 1 << 20)
    written = []

    def fill():
        for number in range(10_000):
            store.update([b"k%d" % number, b"n"], lambda found: ([bytes(1000), b"x"], None))
            written.append(b"k%d" % number)

    with pytest.raises(StoreFailed) as failure:
        fill()

    assert failure.value.status == 503
    assert len(written) > 100
    assert store.get([b"k%d" % len(written)]) == [None]
    assert all(store.get(written))
    store.close()


def test_a_store_that_cannot_be_read_says_so(tmp_path):
    store = DiskStore(tmp_path / "state", SIZE)
    store.close()

    for ask in (lambda: store.get([b"a"]), lambda: store.scan(b"a")):
        with pytest.raises(StoreFailed, match="cannot be read"):
            ask()
