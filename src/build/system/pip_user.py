"""Lets `pip install --user` do what is meant by it on App Runner: install what the application finds. In a virtual
environment pip refuses it; here it installs into the environment, as without the option."""

import sys

if "--user" in getattr(sys, "argv", ()):
    with open("/proc/self/cmdline", "rb") as file:
        words = file.read().decode(errors="replace").split("\0")
    script = sys.argv[0].rsplit("/", 1)[-1].rstrip("0123456789.")
    if script == "pip" or ("-m", "pip") in zip(words, words[1:]):
        sys.argv = [word for word in sys.argv if word != "--user"]
