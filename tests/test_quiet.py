import os
import threading

from edgesdk.quiet import captured_output, silenced


def test_blocks_that_overlap_in_two_threads_give_the_terminal_back() -> None:
    """As when two files are opened at once: the second's block begins inside the first's and ends after it."""
    before = [os.fstat(descriptor).st_ino for descriptor in (1, 2)]
    inside, over = threading.Event(), threading.Event()

    def second() -> None:
        with silenced():
            inside.set()
            over.wait(10)

    thread = threading.Thread(target=second)
    with silenced():
        thread.start()
        assert inside.wait(10)
    over.set()
    thread.join()
    assert [os.fstat(descriptor).st_ino for descriptor in (1, 2)] == before


def test_an_inner_block_takes_what_is_written_in_it() -> None:
    with captured_output() as outer:
        os.write(1, b"one ")
        with captured_output() as inner:
            os.write(2, b"two")
            assert inner() == "two"
        os.write(2, b"three")
        assert outer() == "one three"
