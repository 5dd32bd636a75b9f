"""What tests written in Python share about reactors."""

import ctypes
import os
import sys

SKIPPED = 77


def kernel_has_uring():
    """io_uring_setup (425 on every architecture) faults on a null argument if it may be used at all."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 1, None)
    return ctypes.get_errno() == 14  # EFAULT


def skip_without():
    """Ends the test, as skipped, if COIR_REACTOR names a reactor that the kernel refuses."""
    if os.environ.get("COIR_REACTOR") == "uring" and not kernel_has_uring():
        print("skipped: io_uring is not available here")
        sys.exit(SKIPPED)
