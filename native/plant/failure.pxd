# What the plant's C functions answer, as an exception.
cdef inline int check(int code, str what) except -1:
    """Turn a C function's -errno into an exception: the caller's fault is an InputError, the rest a DriverError."""
    if code == 0:
        return 0
    import errno  # here: a .pxd imports nothing when its functions are used elsewhere
    import os

    from eagent.errors import DriverError, InputError

    reason = {
        errno.ERANGE: "outside what the device takes",
        errno.EINVAL: "impossible numbers",
        errno.EBUSY: "a GPU has a load already",
        errno.EEXIST: "it exists already",
        errno.EPERM: "only a host with a virtual clock can be advanced",
        errno.ENOSPC: "the host's tables are full",
        errno.EDQUOT: "no room on the file system that its file is on",
        errno.EIO: "the host's file is damaged",
        errno.ENODEV: "the host is not on",
        errno.ENOENT: "a GPU serves nothing",
        errno.ETIMEDOUT: "its lock is held by a process that stands still",
    }.get(-code, os.strerror(-code))
    fault_is_ours = -code in (errno.ERANGE, errno.EINVAL, errno.EBUSY, errno.EEXIST, errno.EPERM, errno.ENOENT)
    raise (InputError if fault_is_ours else DriverError)(f"{what}: {reason}")
