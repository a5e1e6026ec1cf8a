"""The seccomp filter of sandboxed commands, which bubblewrap loads: what no program needs is refused with EPERM.

A list of what is refused, since a command may be any program. `seccompy` assembles it and knows the numbers.
"""

from __future__ import annotations

import errno
import functools
import struct

from seccompy import ArgCmp, CmpOp, Filter
from seccompy.syscalls import syscall_nr

_REFUSED = """
    unshare setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
    ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp
    add_key request_key keyctl bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
    init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd
    settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname syslog iopl ioperm uselib
    open_by_handle_at lookup_dcookie nfsservctl
"""
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; clone(2) cannot ask for a time namespace."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI, TIOCLINUX."""
_LOW = 0xFFFFFFFF
_FAMILIES = (2, 10, 16)
"""AF_INET, AF_INET6, AF_NETLINK: not AF_UNIX, whose abstract sockets belong to the network namespace."""
_X32 = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x20, 0, 0, 0),  # load the number
        (
            0x35,
            0,
            1,
            0x40000000,
        ),  # at least that: another way to number the same calls, which no rule would see
        (0x06, 0, 0, 0x00050000 | errno.ENOSYS),
    )
)


@functools.cache
def seccomp_filter(*, network: bool) -> bytes:
    """Its instructions, of the kernel's classic BPF. Raises seccompy.UnsupportedError for another processor."""
    rules = Filter()
    for name in _REFUSED.split():
        if _is_here(name):
            rules.errno(name, errno.EPERM)
    # its flags are in memory, out of a filter's reach; C libraries then use clone
    rules.errno("clone3", errno.ENOSYS)
    for bit in range(32):
        if _NEW_NAMESPACES >> bit & 1:
            rules.errno("clone", errno.EPERM, args=(ArgCmp(0, CmpOp.MASKED_EQ, 1 << bit, 1 << bit),))
    for request in _TERMINAL_INPUT:
        rules.errno("ioctl", errno.EPERM, args=(ArgCmp(1, CmpOp.MASKED_EQ, request, _LOW),))
    for family in _FAMILIES if network else ():
        rules.allow("socket", args=(ArgCmp(0, CmpOp.MASKED_EQ, family, _LOW),))
    rules.errno("socket", errno.EAFNOSUPPORT if network else errno.EPERM)
    return _X32 + rules.program


def _is_here(name: str) -> bool:
    """Whether the processor has the call."""
    try:
        syscall_nr(name)
    except ValueError:
        return False
    return True
