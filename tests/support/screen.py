"""Runs a command on a terminal of its own, and tells what a person would see: through a pseudo-terminal and pyte, an emulator.

screen.py ROWS COLUMNS COMMAND...   Steps on standard input, one a line; the answer is JSON on standard output.
  wait SECONDS TEXT    goes on when the screen shows TEXT
  sleep SECONDS
  resize ROWS COLUMNS
  send TEXT            \\x03 and the like are understood
  snap NAME            keeps the screen
  end SECONDS          waits until the command has ended
"""
import codecs
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

import pyte


class Terminal:
    def __init__(self, rows, columns, command):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw, self.frames, self.code, self.snaps = b"", [], None, {}
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        self.size(rows, columns)

    def size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        """As terminals do it: what is on the screen wraps anew, which pyte does not do by itself."""
        old = [line.rstrip() for line in self.screen.display]
        at = self.screen.cursor.y
        rewrapped, cursor = [], 0
        for number, line in enumerate(old[: at + 1]):
            parts = [line[i : i + columns] for i in range(0, len(line), columns)] or [""]
            cursor = len(rewrapped) + len(parts) - 1 if number == at else cursor
            rewrapped += parts
        rewrapped = rewrapped[max(0, cursor + 1 - rows) :]
        self.screen.resize(rows, columns)
        self.screen.reset()
        for number, line in enumerate(rewrapped):
            self.screen.cursor_position(number + 1, 1)
            self.screen.draw(line)
        self.screen.cursor_position(len(rewrapped), 1)
        self.size(rows, columns)
        os.kill(self.pid, signal.SIGWINCH)

    def read(self, seconds):
        """What comes within a while. False at the end."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        if not data:
            return False
        self.raw += data
        self.frames += [time.monotonic()] * data.count(b"\x1b[?25l")
        self.stream.feed(data)
        return True

    def until(self, holds, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return True
            if not self.read(0.05):
                break
        return holds()

    def shown(self):
        return [line.rstrip() for line in self.screen.display]

    def step(self, line):
        word, _, rest = line.strip().partition(" ")
        if word == "wait":
            seconds, _, text = rest.partition(" ")
            if not self.until(lambda: text in "\n".join(self.shown()), float(seconds)):
                shown = "\n".join(self.shown())
                sys.exit(f"never shown: {text}\n{shown}")
        elif word == "sleep":
            self.until(lambda: False, float(rest))
        elif word == "resize":
            self.resize(*map(int, rest.split()))
        elif word == "send":
            os.write(self.master, codecs.decode(rest, "unicode_escape").encode())
        elif word == "snap":
            self.snaps[rest] = self.shown()
        elif word == "end":
            until = time.monotonic() + float(rest)
            self.until(lambda: False, float(rest))
            while self.alive() and time.monotonic() < until:
                time.sleep(0.05)
            if self.alive():
                sys.exit("it did not end\n" + "\n".join(self.shown()))

    def alive(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is None

    def answer(self):
        quickest = min((b - a for a, b in zip(self.frames, self.frames[1:])), default=None)
        return {
            "snaps": self.snaps,
            "screen": self.shown(),
            "code": self.code,
            "hidden": self.screen.cursor.hidden,
            "column": self.screen.cursor.x,
            "frames": len(self.frames),
            "quickest": quickest,
            "raw": self.raw.decode(errors="replace"),
        }


def main(rows, columns, *command):
    terminal = Terminal(int(rows), int(columns), command)
    try:
        for line in sys.stdin:
            terminal.step(line)
        print(json.dumps(terminal.answer()))
    finally:
        if terminal.alive():
            os.kill(terminal.pid, signal.SIGKILL)


main(*sys.argv[1:])
