"""Interpreter settings for a process with thousands of threads and a million objects."""

import gc
import threading

# For thousands of waiting threads, a small stack each is enough.
THREAD_STACK_BYTES = 512 * 1024
# A collection of all objects stops every thread, for 0.3 s with 10,000 gateways, and finds next to
# nothing: the collections of young objects have found the rest. Python's 10 makes one every half minute
# under 100 changes a second, and eight while 10,000 gateways connect, one second in all.
FULL_COLLECTION_THRESHOLD = 100


def set_up_interpreter() -> None:
    """Call it before any thread is started."""
    threading.stack_size(THREAD_STACK_BYTES)
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, FULL_COLLECTION_THRESHOLD)
