"""`python tied.py SIGNAL PARENT USER COMMAND...`: becomes that command, which is sent the signal when its parent dies (Linux).

A program of its own, because what runs between fork and exec in a process full of threads (gRPC's, say) may break there.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """`USER` may be empty: then it stays who it is."""
    signal, parent, user, *command = sys.argv[1:]
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal))  # after the user, whose change would undo it
        if os.getppid() != int(parent):  # it died before the line above
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - our own command lines


if __name__ == "__main__":
    main()
