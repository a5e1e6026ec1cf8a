"""The system calls that a sandboxed Python call may make, as a seccomp filter; all others are refused.

A list of what is allowed, so that neither a call of a later kernel nor another way to number the same ones (x32) gets
by. `seccompy` assembles it and knows the numbers. What no tool has a use for is refused by a watcher outside of the
tool's reach (SECCOMP_RET_USER_NOTIF), which also tells of it; what libraries merely try is refused in silence.
"""

from __future__ import annotations

import errno
import functools
import itertools
from dataclasses import dataclass
from typing import Final

from seccompy import ArgCmp, CmpOp, Filter
from seccompy.filter import Action
from seccompy.syscalls import syscall_nr

_ALLOWED: Final = """
    read write close stat fstat lstat newfstatat statx access faccessat faccessat2 statfs fstatfs
    lseek pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 sendfile copy_file_range
    dup dup2 dup3 pipe pipe2 fcntl flock fsync fdatasync sync_file_range fadvise64 readahead fallocate
    truncate ftruncate getdents getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir
    unlink unlinkat link linkat symlink symlinkat readlink readlinkat umask utime utimes futimesat utimensat
    chown fchown lchown fchownat
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
    mmap munmap mremap mprotect madvise mincore msync brk mlock munlock membarrier pkey_mprotect pkey_alloc pkey_free
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack
    kill tgkill tkill pause alarm getitimer setitimer restart_syscall
    timer_create timer_settime timer_gettime timer_getoverrun timer_delete
    nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times
    futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list get_robust_list rseq set_tid_address
    sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min
    getcpu getpriority arch_prctl
    exit exit_group wait4 waitid getpid getppid gettid getpgid getpgrp getsid
    getuid geteuid getgid getegid getresuid getresgid getgroups capget
    uname sysinfo getrusage getrlimit getrandom
    sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown
    getsockname getpeername setsockopt getsockopt
"""
_OF_NETWORK: Final = "connect bind listen accept accept4"
_TOLD: Final = {
    "network": "connect bind listen accept accept4",
    "processes": "execve execveat fork vfork setsid setpgid",
    "namespaces": "unshare setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick"
    " mount_setattr",
    "secrets": "process_vm_readv ptrace pidfd_getfd kcmp",
    "signals": "pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo process_vm_writev setpriority"
    " sched_setscheduler sched_setparam sched_setattr ioprio_set",
    "kernel": "add_key request_key keyctl bpf perf_event_open userfaultfd io_uring_setup io_uring_enter"
    " io_uring_register seccomp init_module finit_module delete_module kexec_load kexec_file_load reboot swapon"
    " swapoff acct settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname syslog quotactl"
    " open_by_handle_at name_to_handle_at fanotify_init personality iopl ioperm modify_ldt lookup_dcookie"
    " nfsservctl vhangup landlock_create_ruleset"
    " setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset",
    "memory": "memfd_create memfd_secret shmget shmat msgget semget mq_open mlockall remap_file_pages",
    "writes": "mknod mknodat",
}
"""What is refused and told, under the guarantee that it would break."""
_XATTR: Final = (
    "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr"
)
_IOCTLS: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TCGETS2."""
_TERMINAL_INPUT: Final = (0x5412, 0x541C)
"""TIOCSTI, TIOCLINUX."""
_PRCTLS: Final = (2, 3, 15, 16, 21, 23, 30, 39, 0x53564D41)
"""PR_GET_PDEATHSIG, _GET_DUMPABLE, _SET_NAME, _GET_NAME, _GET_SECCOMP, _CAPBSET_READ, _GET_TIMERSLACK,
_GET_NO_NEW_PRIVS, _SET_VMA."""
_THREAD: Final = 0x00010000
_NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; clone(2) cannot ask for a time namespace."""
_CREATE: Final = (0o100, 0o20000000)
"""O_CREAT, O_TMPFILE: `open` makes a file, with the mode given."""
_SET_ID: Final = (0o4000, 0o2000)


@dataclass(frozen=True, slots=True)
class SystemCalls:
    """A filter and the names of what it leaves to the watcher."""

    program: bytes
    """Instructions of the kernel's classic BPF."""
    told: dict[int, tuple[str, str]]
    """By number: the name, and the guarantee that it would break."""


@functools.cache
def system_calls(*, network: bool) -> SystemCalls:
    """The filter for this machine. Raises seccompy.UnsupportedError for a processor without one."""
    rules = _Rules()
    for name in _ALLOWED.split():
        rules.allow(name)
    rules.processes()
    rules.limits()
    rules.files()
    rules.sockets(network=network)
    for guarantee, names in _TOLD.items():
        for name in names.split():
            if not (network and name in _OF_NETWORK.split()):
                rules.tell(name, guarantee)
    for name in _XATTR.split():
        rules.refuse(name, errno.ENOTSUP)
    return SystemCalls(rules.filter.program, rules.told)


class _Rules:
    """A filter under construction: of a call's rules the first that fits counts."""

    def __init__(self) -> None:
        # what is unknown is not there: a C library then does without (clone3, whose flags no filter can see)
        self.filter = Filter(default=int(Action.ERRNO) | errno.ENOSYS)
        self.told: dict[int, tuple[str, str]] = {}

    def allow(self, name: str, *conditions: ArgCmp) -> None:
        if _is_here(name):
            self.filter.allow(name, args=conditions)

    def refuse(self, name: str, error: int, *conditions: ArgCmp) -> None:
        if _is_here(name):
            self.filter.errno(name, error, args=conditions)

    def tell(self, name: str, guarantee: str, *conditions: ArgCmp) -> None:
        if _is_here(name):
            self.filter.notify(name, args=conditions)
            self.told[syscall_nr(name)] = (name, guarantee)

    def processes(self) -> None:
        """Threads are free; a fork is the watcher's to allow, to the template alone and once for each call."""
        self.allow("clone", ArgCmp(0, CmpOp.MASKED_EQ, _THREAD, _THREAD | _NAMESPACES))
        self.tell("clone", "processes")

    def limits(self) -> None:
        """Only one's own: the template that serves the next call runs as the same user."""
        for name in ("prlimit64", "sched_setaffinity"):
            self.allow(name, ArgCmp(0, CmpOp.EQ, 0))
            self.tell(name, "signals")
        self.allow("setrlimit")
        for operation in _PRCTLS:
            self.allow("prctl", ArgCmp(0, CmpOp.EQ, operation))
        self.refuse("prctl", errno.EPERM)

    def files(self) -> None:
        """No file that runs as its owner, whoever starts it later; no words put into a terminal."""
        for name, mode in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("creat", 1)):
            for bit in _SET_ID:
                self.tell(name, "writes", _has(mode, bit))
            self.allow(name)
        for name, flags in (("open", 1), ("openat", 2)):
            for bit, makes in itertools.product(_SET_ID, _CREATE):
                self.tell(name, "writes", _has(flags, makes), _has(flags + 1, bit))
            self.allow(name)
        for request in _TERMINAL_INPUT:
            self.tell("ioctl", "kernel", ArgCmp(1, CmpOp.MASKED_EQ, request, 0xFFFFFFFF))
        for request in _IOCTLS:
            self.allow("ioctl", ArgCmp(1, CmpOp.EQ, request))
        self.refuse("ioctl", errno.ENOTTY)

    def sockets(self, *, network: bool) -> None:
        """Pairs for event loops, and the Internet where it is granted; never a socket with a path or a name."""
        pair = (ArgCmp(0, CmpOp.EQ, 1), ArgCmp(1, CmpOp.MASKED_EQ, 1, 0xF))  # AF_UNIX, SOCK_STREAM
        self.allow("socketpair", *pair)
        self.refuse("socketpair", errno.EPERM)
        if not network:
            self.tell("socket", "network")
            return
        for family in (2, 10):  # AF_INET, AF_INET6
            for kind in (1, 2):  # SOCK_STREAM, SOCK_DGRAM
                kind_is = ArgCmp(1, CmpOp.MASKED_EQ, kind, 0xF)
                self.allow("socket", ArgCmp(0, CmpOp.EQ, family), kind_is)
        self.refuse("socket", errno.EAFNOSUPPORT)
        for name in _OF_NETWORK.split():
            self.allow(name)


def _has(argument: int, bits: int) -> ArgCmp:
    return ArgCmp(argument, CmpOp.MASKED_EQ, bits, bits)


def _is_here(name: str) -> bool:
    """Whether the processor has the call: `open` is not on the newer ones."""
    try:
        syscall_nr(name)
    except ValueError:
        return False
    return True
