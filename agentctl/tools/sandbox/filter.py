"""The seccomp filter of sandboxed commands: a program of the kernel's classic BPF, which bubblewrap loads.

Assembled here because libseccomp, which the Python bindings need, is not on every machine; the numbers are those of
the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import errno
import platform
import struct
from typing import NamedTuple

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`; an argument has 8 bytes, of which the low 4 come first."""
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; clone(2) cannot ask for a time namespace."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI, TIOCLINUX."""
_NETWORK_FAMILIES = (2, 10, 16)
"""AF_INET, AF_INET6, AF_NETLINK: not AF_UNIX, whose abstract sockets belong to the network namespace."""


class _Machine(NamedTuple):
    arch: int
    clone: int
    clone3: int
    ioctl: int
    socket: int
    denied: tuple[int, ...]


_NEW_EVERYWHERE = (*range(425, 434), 438, 440, 442, 443, 467)
"""io_uring_*, open_tree … fspick, pidfd_getfd, process_madvise, mount_setattr, quotactl_fd, open_tree_attr."""
_MACHINES = {
    # ptrace syslog personality … in the order of their numbers
    "x86_64": _Machine(
        0xC000003E, 56, 435, 16, 41,
        (101, 103, 134, 155, 159, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 175, 176, 179, 180,
         212, 227, 246, 248, 249, 250, 272, 298, 304, 305, 308, 310, 311, 312, 313, 320, 321, 323,
         *_NEW_EVERYWHERE),
    ),
    "aarch64": _Machine(
        0xC00000B7, 220, 435, 29, 198,
        (39, 40, 41, 42, 51, 60, 89, 97, 104, 105, 106, 112, 116, 117, 142, 161, 162, 170, 171, 217, 218, 219, 224,
         225, 241, 265, 266, 268, 270, 271, 272, 273, 280, 282, 294, *_NEW_EVERYWHERE),
    ),
}  # fmt: skip


class UnknownMachine(Exception):
    """A processor for which there is no filter."""


def seccomp_filter(*, network: bool, machine: str = "") -> bytes:
    """The filter's instructions. Raises UnknownMachine.

    Refused with EPERM: new namespaces, mounts, tracing, keyrings, bpf, io_uring, modules, clocks, terminal input and,
    without the network, every socket.
    """
    name = machine or platform.machine()
    if name not in _MACHINES:
        raise UnknownMachine(name)
    of = _MACHINES[name]
    code = [
        _load(_ARCH),
        *_unless(_JUMP_EQUAL, of.arch, _KILL),
        _load(_NUMBER),
        *(_when(_JUMP_AT_LEAST, _X32, _refuse(errno.ENOSYS)) if name == "x86_64" else ()),
        # its flags are in memory, out of a filter's reach; C libraries then use clone
        *_when(_JUMP_EQUAL, of.clone3, _refuse(errno.ENOSYS)),
    ]
    for number in of.denied:
        code += _when(_JUMP_EQUAL, number, _refuse(errno.EPERM))
    code += _inspect(of.clone, 0, _when(_JUMP_ANY_BIT, _NEW_NAMESPACES, _refuse(errno.EPERM)))
    code += _inspect(
        of.ioctl, 1, [each for c in _TERMINAL_INPUT for each in _when(_JUMP_EQUAL, c, _refuse(errno.EPERM))]
    )
    code += _sockets(of.socket, network=network)
    return b"".join([*code, _instruction(_RETURN, 0, 0, _ALLOW)])


def _sockets(number: int, *, network: bool) -> list[bytes]:
    if not network:
        return _when(_JUMP_EQUAL, number, _refuse(errno.EPERM))
    allowed = [each for family in _NETWORK_FAMILIES for each in _when(_JUMP_EQUAL, family, _ALLOW)]
    refused = _instruction(_RETURN, 0, 0, _refuse(errno.EAFNOSUPPORT))
    return _inspect(number, 0, [*allowed, refused])


def _inspect(number: int, argument: int, body: list[bytes]) -> list[bytes]:
    """For one system call, the body with an argument's low half loaded; the number is loaded again after it."""
    inner = [_load(_ARGUMENT + 8 * argument), *body, _load(_NUMBER)]
    return [_instruction(_JUMP_EQUAL, 0, len(inner), number), *inner]


def _when(jump: int, value: int, action: int) -> list[bytes]:
    return [_instruction(jump, 0, 1, value), _instruction(_RETURN, 0, 0, action)]


def _unless(jump: int, value: int, action: int) -> list[bytes]:
    return [_instruction(jump, 1, 0, value), _instruction(_RETURN, 0, 0, action)]


def _refuse(number: int) -> int:
    return _ERRNO | number


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, 0, 0, offset)


def _instruction(code: int, then: int, otherwise: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)
