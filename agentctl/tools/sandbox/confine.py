"""What confines the current process; imported by path, in a process with nothing else of agentctl.

Four steps, in this order: `leave` for namespaces of its own, fork (a new process is the first of its process
namespace), `settle` in a root in which only what is granted is there, `lock` the system calls. Each raises OSError
when the machine does not give what it is for: whoever asked for it must not go on.

An order has `network` (bool), `memory` and `private` (bytes), `threads`, `files` (open ones), `file_size`, `mounts`
(`[real path, "read" | "write" | "device" | "hidden"]`, the outer ones first; what is hidden is an empty folder), `links`
(`[place, real path]`), `base` (any folder) and `filter` (base64).
"""

from __future__ import annotations

import base64
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from agentctl.json import Json
    from agentctl.tools.sandbox import kernel
else:
    import kernel

PRIVATE = "/private"
"""The folder of a call: its working directory, its home and where its temporary files are."""
_USER, _COUNTED = 1000, 65534
"""Ids inside. The second is the real user where root runs agentctl: root's own processes are never counted."""
_INODES = 4096
"""Files and folders in the private folder."""
_TINY = 1024 * 1024
"""Bytes of a file system that holds names only."""


def leave(order: Json) -> None:
    """Enter namespaces of one's own, as a user who is nobody outside. Children are in a new process namespace."""
    spaces = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    spaces |= kernel.CLONE_NEWCGROUP | (0 if order["network"] else kernel.CLONE_NEWNET)
    user, group = os.geteuid(), os.getegid()
    if not _is_root():
        kernel.unshare(spaces | kernel.CLONE_NEWUSER)
        _map("self", f"{_USER} {user} 1", f"{_USER} {group} 1")
        return
    try:
        os.setgroups([])
    except PermissionError:
        raise PermissionError(1, "root may not choose other users here", "setgroups") from None
    told, tell = os.pipe()
    if os.fork() == 0:
        os._exit(_map_for_root(told, tell))
    os.close(told)
    kernel.unshare(spaces | kernel.CLONE_NEWUSER)
    os.write(tell, b"x")
    os.close(tell)
    if os.waitstatus_to_exitcode(os.wait()[1]) != 0:
        raise PermissionError(1, "root may not map another user into a namespace", "uid_map")
    os.setresgid(_USER, _USER, _USER)
    # the effective user opens files; the real one is whom the limit on processes counts
    os.setresuid(_COUNTED, _USER, _USER)


def settle(order: Json) -> None:
    """Change to a root that holds what is granted and no more, and give up every power and most means."""
    taken = address_space()  # inside there is no /proc to read it from
    os.setsid()
    _enter_root(order)
    kernel.drop_capabilities()
    kernel.restrict_files(_rights(order), network=order["network"])
    limit(order, taken)
    kernel.die_with_parent()


def limit(order: Json, taken: int) -> None:
    """Bound what the process and its children use; `taken` are bytes of memory that it has already."""
    for what, most in (
        (resource.RLIMIT_AS, taken + order["memory"]),
        (resource.RLIMIT_FSIZE, order["file_size"]),
        (resource.RLIMIT_NOFILE, order["files"]),
        # counted for all processes of the user; in a namespace of its own these are all of its user
        (resource.RLIMIT_NPROC, order.get("threads", resource.RLIM_INFINITY)),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_STACK, 8 * 1024 * 1024),
    ):
        _, hard = resource.getrlimit(what)
        if most == resource.RLIM_INFINITY:
            continue
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))


def lock(order: Json) -> int:
    """Refuse all system calls but those that are allowed; the descriptor of whoever watches the others."""
    return kernel.filter_system_calls(base64.b64decode(order["filter"]))


def address_space() -> int:
    """Bytes of the process's own."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _is_root() -> bool:
    """Whether this is the machine's root, and not one of a user namespace that stands for somebody else."""
    with open("/proc/self/uid_map") as file:
        return os.geteuid() == 0 and file.readline().split()[:2] == ["0", "0"]


def _map(process: str, users: str, groups: str) -> None:
    for name, text in (("setgroups", "deny"), ("gid_map", groups), ("uid_map", users)):
        with open(f"/proc/{process}/{name}", "w") as file:
            file.write(text)


def _map_for_root(told: int, tell: int) -> int:
    """In a child that stays outside: only there is root allowed to map a second user. 0 when it is done."""
    os.close(tell)
    if os.read(told, 1) != b"x":
        return 1
    try:
        _map(str(os.getppid()), f"{_USER} 0 1\n{_COUNTED} {_COUNTED} 1", f"{_USER} {os.getegid()} 1")
    except OSError:
        return 1
    return 0


def _enter_root(order: Json) -> None:
    kernel.keep_mounts_inside()
    mounts: list[tuple[str, bool, int]] = []
    hidden = [path for path, access in order["mounts"] if access == "hidden"]
    for path, access in order["mounts"]:
        if access == "hidden":
            mounts.append((path, True, -1))
            continue
        handle = kernel.open_real(path)
        mounts.append((path, os.path.isdir(path), kernel.copy_of_mount(handle, _attributes(access))))
        os.close(handle)
    root = order["base"]
    kernel.mount_tmpfs(root, flags=kernel.NOSUID | kernel.NODEV, options=f"mode=0755,size={_TINY}")
    for path, is_folder, mount in mounts:
        _make_place(root + path, is_folder=is_folder)
        if mount < 0:
            kernel.mount_tmpfs(
                root + path, flags=kernel.NOSUID | kernel.NODEV, options=f"mode=0755,size={_TINY}"
            )
            continue
        kernel.attach_mount(mount, root + path)
        os.close(mount)
    for place, real in order["links"]:
        _make_link(root, place, real)
    os.makedirs(root + PRIVATE)
    bounds = f"mode=0700,size={order['private']},nr_inodes={_INODES}"
    kernel.mount_tmpfs(root + PRIVATE, flags=kernel.NOSUID | kernel.NODEV | kernel.NOEXEC, options=bounds)
    kernel.enter_root(root)
    for place in ("/", *hidden):  # they hold names only
        kernel.remount_read_only(place)
    os.chdir(PRIVATE)


def _attributes(access: str) -> int:
    if access == "device":
        return kernel.NOSUID | kernel.NOEXEC
    return kernel.NOSUID | kernel.NODEV | (kernel.RDONLY if access == "read" else 0)


def _make_place(place: str, *, is_folder: bool) -> None:
    if is_folder:
        os.makedirs(place, exist_ok=True)
    elif not os.path.exists(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def _make_link(root: str, place: str, real: str) -> None:
    """A link where a path was written with links in it; none where a folder above it shows them by itself."""
    parent = root
    for name in place.strip("/").split("/")[:-1]:
        parent = f"{parent}/{name}"
        if os.path.islink(parent) or os.path.ismount(parent):
            return
        os.makedirs(parent, exist_ok=True)
    if not os.path.lexists(root + place):
        os.symlink(real, root + place)


def _rights(order: Json) -> dict[str, int]:
    """What Landlock lets through: the same as the mounts, so that there are two walls."""
    read = kernel.READ_FILE | kernel.READ_DIR
    rights = {"/": kernel.READ_DIR, PRIVATE: read | kernel.CHANGE}
    for path, access in order["mounts"]:
        rights[path] = {
            "read": read,
            "write": read | kernel.CHANGE,
            "device": kernel.READ_FILE | kernel.WRITE_FILE,
            "hidden": kernel.READ_DIR,
        }[access]
    return rights
