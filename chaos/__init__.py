"""`make chaos`: every fault that a plant can produce, against real processes, measured and judged."""
