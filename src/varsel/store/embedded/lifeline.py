"""Run one program so that it never outlives Varsel, under another account where asked.

This file is executed by path with ``python -I -S`` and imports nothing of Varsel. A fresh interpreter replaces
``preexec_fn``, which may deadlock in a program with threads, and costs about 20 ms.

Usage::

    lifeline.py run PARENT SIGNAL UID GID PROGRAM [ARGUMENT]...
    lifeline.py reach UID GID PATH...

``run`` becomes PROGRAM; the kernel sends it SIGNAL when the thread that started it ends, however it ends.
``reach`` prints one ``0`` or ``1`` a path: whether the account may read a file there or pass through a folder.
UID -1 keeps the account.
"""

from __future__ import annotations

import ctypes
import os
import sys

EXIT_ORPHAN = 70
EXIT_ACCOUNT = 71
EXIT_PROGRAM = 72

PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Loaded before the change of account, which may put the interpreter's own files out of reach.
LIBC = ctypes.CDLL(None, use_errno=True)


def become(uid: int, gid: int) -> None:
    """Drop to the account for good: no other groups, and no way back."""
    if uid < 0:
        return
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)


def tie_to_parent(parent: int, signal_number: int) -> bool:
    """Ask for a signal at the parent's death; false when the parent is already gone."""
    if LIBC.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    # A parent that died before the call above sends no signal any more.
    return os.getppid() == parent


def reachable(path: str) -> bool:
    if os.path.isdir(path):  # noqa: PTH112 - importing pathlib would double the cost
        return os.access(path, os.X_OK)
    return os.access(path, os.R_OK)


def main(arguments: list[str]) -> int:
    mode, *rest = arguments
    if mode == "reach":
        become(int(rest[0]), int(rest[1]))
        sys.stdout.write(" ".join("1" if reachable(path) else "0" for path in rest[2:]) + "\n")
        return 0

    parent, signal_number, uid, gid = (int(word) for word in rest[:4])
    program = rest[4:]
    try:
        become(uid, gid)
    except OSError as error:
        sys.stderr.write(f"cannot change to user id {uid}: {error.strerror}\n")
        return EXIT_ACCOUNT
    # After the change of account: the kernel forgets the wish when credentials change (prctl(2)).
    if not tie_to_parent(parent, signal_number):
        return EXIT_ORPHAN
    try:
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot run {program[0]}: {error.strerror}\n")
        return EXIT_PROGRAM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
