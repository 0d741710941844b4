"""`larder bench`: larder measured against another commit of itself, in turns, on this machine, with the same seeds.

Reading order: version (what is measured), readings (CPU and memory from /proc, batches from /metrics), turn (one stack
from up to down), figures (medians of all turns), report and pictures (what is told). A bench is one object of JSON;
`larder docs` writes docs/benchmarks.md from those that are kept as docs/bench*.json.
"""
