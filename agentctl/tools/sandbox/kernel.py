"""The system calls of the sandbox that Python has no function for; imported by path, with nothing else of agentctl.

Described in section 2 of the Linux manual pages (man7.org), in the kernel's Documentation/userspace-api/landlock.rst
and seccomp_filter.rst, and in include/uapi/linux/{mount,landlock,seccomp,capability}.h. All raise OSError.
"""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
"""Of a mount."""
READ_FILE, READ_DIR, WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
CHANGE = 0b0111_0101_1011_0010
"""Landlock's rights to write: WRITE_FILE, REMOVE_*, MAKE_DIR, MAKE_REG, MAKE_FIFO, MAKE_SYM, REFER, TRUNCATE."""
_FILE_RIGHTS = READ_FILE | WRITE_FILE | 1 << 14
"""Of those, what can be said of a file rather than a folder."""
_NUMBERS = {"x86_64": {"pivot_root": 155, "seccomp": 317}, "aarch64": {"pivot_root": 41, "seccomp": 277}}
_SAME_EVERYWHERE = {
    "open_tree": 428,
    "move_mount": 429,
    "openat2": 437,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
_HERE = -100
"""AT_FDCWD."""
_EMPTY_PATH, _RECURSIVE = 0x1000, 0x8000
_LIBC = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave the namespaces that the flags name, for new ones."""
    _checked(_LIBC.unshare(ctypes.c_int(flags)), "unshare")


def mount_tmpfs(place: str, *, flags: int, options: str) -> None:
    """A new file system in memory, over the folder."""
    made = _LIBC.mount(b"tmpfs", place.encode(), b"tmpfs", ctypes.c_ulong(flags), options.encode())
    _checked(made, f"mount {place}")


def keep_mounts_inside() -> None:
    """No mount made from here on is seen outside."""
    _checked(_LIBC.mount(None, b"/", None, ctypes.c_ulong(0x84000), None), "mount --make-rslave /")


def open_real(path: str) -> int:
    """A handle of a path in which no part is a link."""
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, 0x04)  # RESOLVE_NO_SYMLINKS
    return _call("openat2", _HERE, path.encode(), how, len(how), said=path)


def copy_of_mount(handle: int, attributes: int) -> int:
    """What is mounted at a handle, with all beneath it, as a mount of its own that nobody sees yet."""
    flags = 1 | os.O_CLOEXEC | _EMPTY_PATH | _RECURSIVE  # OPEN_TREE_CLONE
    tree = _call("open_tree", handle, b"", flags)
    limit_mount(tree, attributes)
    return tree


def limit_mount(mount: int, attributes: int) -> None:
    """Add attributes to a mount and all beneath it."""
    wanted = struct.pack("=QQQQ", attributes, 0, 0, 0)
    _call("mount_setattr", mount, b"", _EMPTY_PATH | _RECURSIVE, wanted, len(wanted))


def remount_read_only(place: str) -> None:
    """Let nothing be made on one mount; those beneath it stay as they are."""
    wanted = struct.pack("=QQQQ", RDONLY, 0, 0, 0)
    _call("mount_setattr", _HERE, place.encode(), 0, wanted, len(wanted), said=place)


def attach_mount(mount: int, place: str) -> None:
    """Let a mount be seen at a place that is there."""
    _call("move_mount", mount, b"", _HERE, place.encode(), 4, said=place)  # MOVE_MOUNT_F_EMPTY_PATH


def enter_root(root: str) -> None:
    """Make a mounted folder the root, and let go of the old one."""
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _checked(_LIBC.umount2(b".", ctypes.c_int(2)), "umount2")  # MNT_DETACH: the old root, which lies on top
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability, and the way to any other."""
    for number in range(64):
        if _LIBC.prctl(24, number, 0, 0, 0) < 0:  # PR_CAPBSET_DROP: beyond the last one it fails
            break
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    _checked(_LIBC.capset(header, bytes(24)), "capset")
    forbid_new_privileges()


def forbid_new_privileges() -> None:
    _checked(_LIBC.prctl(38, 1, 0, 0, 0), "prctl")  # PR_SET_NO_NEW_PRIVS


def die_with_parent() -> None:
    _checked(_LIBC.prctl(1, 9, 0, 0, 0), "prctl")  # PR_SET_PDEATHSIG, SIGKILL


def landlock_version() -> int:
    """The version of Landlock's interface, 1 and more. Raises OSError where there is none."""
    return _call("landlock_create_ruleset", None, 0, 1)


def restrict_files(rights: dict[str, int], *, network: bool) -> None:
    """Let this process do with files only what is said of a path and all beneath it; `network`: whether TCP is left."""
    version = landlock_version()
    known = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    known |= 1 << 15 if version >= 5 else 0
    ports = 0b11 if version >= 4 and not network else 0
    scopes = 0b11 if version >= 6 else 0  # abstract sockets, signals
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _call(
        "landlock_create_ruleset", struct.pack("=QQQ", known, ports, scopes)[:size], size, 0, said="ruleset"
    )
    try:
        for path, allowed in rights.items():
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                fitting = allowed if os.path.isdir(path) else allowed & _FILE_RIGHTS
                rule = struct.pack("=Qi", fitting & known, handle)
                _call("landlock_add_rule", ruleset, 1, rule, 0, said=path)
            finally:
                os.close(handle)
        _call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def filter_system_calls(program: bytes) -> int:
    """Load a seccomp filter; a descriptor that is told of the calls which it leaves to a watcher."""
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    return _call("seccomp", 1, 8, head)  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER


def _call(name: str, *arguments: int | bytes | None, said: str = "") -> int:
    number = _SAME_EVERYWHERE.get(name) or _NUMBERS.get(os.uname().machine, {}).get(name)
    if number is None:
        raise OSError(38, f"no number of {name} is known for {os.uname().machine}")
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *words), f"{name} {said}".strip())


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return int(result)
