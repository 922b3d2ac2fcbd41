#!/usr/bin/env python3
"""Times two commands in turn, A B A B ..., and prints the median of each and of the ratio pair by pair.

usage: pair.py [-n RUNS] [--clean COMMAND] NAME_A COMMAND_A NAME_B COMMAND_B

Each command is one string, split as a shell splits words but run without one; `--clean` (for sh) runs untimed after every one of them. In pairs, because
the speed of a machine drifts: the ratio holds when the times do not."""
import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time


def once(command):
    """Whole processes, started the cheapest way, so that little of the figure is the starter's."""
    words = shlex.split(command)
    null = os.open(os.devnull, os.O_RDWR)
    files = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1)]
    start = time.perf_counter()
    pid = os.posix_spawnp(words[0], words, os.environ, file_actions=files)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took = time.perf_counter() - start
    os.close(null)
    if status != 0:
        sys.exit(f"pair.py: `{command}` ended with status {status}")
    return took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--clean")
    parser.add_argument("words", nargs=4)
    given = parser.parse_args()
    name_a, a, name_b, b = given.words
    clean = (lambda: subprocess.run(["sh", "-c", given.clean], check=True)) if given.clean else (lambda: None)
    times_a, times_b = [], []
    for run in range(given.n + 1):  # the first pair warms caches and is not counted
        pair = []
        for command in (a, b):
            pair.append(once(command))
            clean()
        if run:
            times_a.append(pair[0])
            times_b.append(pair[1])
    ratios = [x / y for x, y in zip(times_a, times_b)]
    for name, times in ((name_a, times_a), (name_b, times_b)):
        print(f"{name:32} {statistics.median(times) * 1000:10.1f} ms  ({min(times) * 1000:.1f} to {max(times) * 1000:.1f})")
    print(f"{'ratio':32} {statistics.median(ratios):10.3f}     ({min(ratios):.3f} to {max(ratios):.3f})")


main()
