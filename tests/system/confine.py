"""`python confine.py ALLOWED FORBIDDEN COMMAND...`: becomes that command, shut in as a unit would be, where systemd does not run.

System calls: the groups of `ALLOWED` without those of `FORBIDDEN` (with commas), all others answer EPERM. No memory that is both
writable and executable, no new privileges.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

# linux/prctl.h and seccomp.h
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 38, 65, 1
SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, EPERM = 0x7FFF0000, 0x00050000, 1


def calls(group: str) -> set[str]:
    """The system calls of one of systemd's groups, such as @system-service."""
    command = ["systemd-analyze", "--no-pager", "syscall-filter", group]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout  # noqa: S603
    found: set[str] = set()
    for line in map(str.strip, said.splitlines()[1:]):
        if line and not line.startswith("#"):
            found |= calls(line) if line.startswith("@") else {line}
    return found


def main() -> None:
    """Shuts itself in, then runs the command."""
    allowed, forbidden, *command = sys.argv[1:]
    default = calls("@default") | {"execve"}
    names = set[str]().union(*map(calls, allowed.split(",")))
    names -= set[str]().union(*map(calls, forbidden.split(",")))
    seccomp, libc = ctypes.CDLL("libseccomp.so.2"), ctypes.CDLL(None)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    rules = seccomp.seccomp_init(SCMP_ACT_ERRNO | EPERM)
    for name in names | default:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            seccomp.seccomp_rule_add(rules, SCMP_ACT_ALLOW, number, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)  # since Linux 6.3; older ones go without
    if seccomp.seccomp_load(rules):
        sys.exit("no seccomp here")
    os.execvp(command[0], command)  # noqa: S606 - the test's own command


if __name__ == "__main__":
    main()
