import multiprocessing
import threading
from collections import Counter

import pytest

from adserver.errors import ConfigError
from adserver.tickets import BLOCK, Mark, TicketBook, Use, capacity_for

CAPACITY = 4 * BLOCK
FIRST = 1_000_000
MARKS = (Mark.IMPRESSION, Mark.CLICK, Mark.VIEWABLE, Mark.CONVERSION)


@pytest.fixture
def book(tmp_path):
    with TicketBook(tmp_path / "tickets", CAPACITY, FIRST) as book:
        yield book


def use_all(path, serials, queue):
    with TicketBook(path, CAPACITY, FIRST) as book:
        for serial in serials:
            for mark in MARKS:
                queue.put((serial, mark, book.use(serial, mark)))
        queue.put(None)


def take_many(path, count, queue):
    with TicketBook(path, CAPACITY, FIRST) as book:
        queue.put([book.take() for _ in range(count)])


def in_processes(count, target, *args):
    """Runs `target(*args, queue)` in real processes; what they put, per process in a list."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    processes = [context.Process(target=target, args=(*args, queue)) for _ in range(count)]
    for process in processes:
        process.start()
    return queue, processes


def test_four_processes_get_exactly_one_first_for_each_ticket_and_mark(tmp_path):
    path = tmp_path / "tickets"
    with TicketBook(path, CAPACITY, FIRST) as book:
        serials = [book.take() for _ in range(300)]
        queue, processes = in_processes(4, use_all, path, serials)
        firsts = Counter()
        running = 4
        while running:
            message = queue.get()
            if message is None:
                running -= 1
            elif message[2] is Use.FIRST:
                firsts[message[:2]] += 1
        for process in processes:
            process.join()

    assert firsts == {(s, m): 1 for s in serials for m in MARKS}


def test_four_processes_never_take_the_same_serial(tmp_path):
    queue, processes = in_processes(4, take_many, tmp_path / "tickets", 1000)

    taken = [serial for _ in processes for serial in queue.get()]

    assert len(set(taken)) == 4000
    for process in processes:
        process.join()


def test_threads_of_one_process_exclude_each_other_too(book):
    serials = [book.take() for _ in range(500)]
    uses = []

    def use():
        uses.extend((s, book.use(s, Mark.IMPRESSION)) for s in serials)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(s for s, u in uses if u is Use.FIRST) == dict.fromkeys(serials, 1)


def test_neighbouring_tickets_share_nothing(book):
    left, right = book.take(), book.take()

    book.use(left, Mark.IMPRESSION)

    assert book.marks(left) == Mark.IMPRESSION
    assert book.marks(right) == Mark(0)


def test_a_click_needs_an_impression_first_and_uses_up_nothing_without(book):
    serial = book.take()

    assert book.use(serial, Mark.CLICK) is Use.TOO_EARLY
    assert book.use(serial, Mark.IMPRESSION) is Use.FIRST
    assert book.use(serial, Mark.CLICK) is Use.FIRST
    assert book.use(serial, Mark.CLICK) is Use.DUPLICATE


def test_a_conversion_needs_a_click_first(book):
    serial = book.take()

    assert book.use(serial, Mark.CONVERSION) is Use.TOO_EARLY
    book.use(serial, Mark.IMPRESSION)
    assert book.use(serial, Mark.CONVERSION) is Use.TOO_EARLY
    book.use(serial, Mark.CLICK)
    assert book.use(serial, Mark.CONVERSION) is Use.FIRST
    assert book.use(serial, Mark.CONVERSION) is Use.DUPLICATE


def test_a_reservation_is_given_back_once_and_then_its_event_is_not_billed(book):
    serial = book.take()

    assert book.release(serial, Mark.IMPRESSION)
    assert not book.release(serial, Mark.IMPRESSION)
    assert book.use(serial, Mark.IMPRESSION) is Use.RELEASED
    assert book.use(serial, Mark.IMPRESSION) is Use.DUPLICATE


def test_a_billed_ticket_keeps_its_money(book):
    serial = book.take()
    book.use(serial, Mark.IMPRESSION)

    assert not book.release(serial, Mark.IMPRESSION)
    assert book.release(serial, Mark.CLICK)


@pytest.mark.parametrize("serial", [0, 7, FIRST - 1, FIRST + 10 * CAPACITY])
def test_a_serial_that_was_never_issued_is_gone(book, serial):
    book.take()

    assert book.use(serial, Mark.IMPRESSION) is Use.GONE
    assert not book.release(serial, Mark.IMPRESSION)


def test_when_the_ring_comes_round_old_tickets_are_gone_and_new_ones_blank(book):
    old = book.take()
    book.use(old, Mark.IMPRESSION)
    for _ in range(CAPACITY):
        new = book.take()

    assert new == old + CAPACITY
    assert book.use(old, Mark.CLICK) is Use.GONE
    assert book.marks(new) == Mark(0)


def test_marks_and_the_counter_survive_a_restart(tmp_path):
    with TicketBook(tmp_path / "tickets", CAPACITY, FIRST) as book:
        serial = book.take()
        book.use(serial, Mark.IMPRESSION)

    with TicketBook(tmp_path / "tickets", CAPACITY, FIRST + 999_999) as book:
        assert book.use(serial, Mark.IMPRESSION) is Use.DUPLICATE
        assert book.take() > serial


def test_a_book_of_another_size_is_refused_not_renumbered(tmp_path, book):
    with pytest.raises(ConfigError, match="another number of tickets"):
        TicketBook(tmp_path / "tickets", 2 * CAPACITY, FIRST)


@pytest.mark.parametrize("sold", [1, 1000, 50_000_000])
def test_the_capacity_holds_a_day_of_sales(tmp_path, sold):
    capacity = capacity_for(sold)

    assert capacity >= sold
    with TicketBook(tmp_path / "tickets", capacity, FIRST) as book:
        assert book.take() >= FIRST
