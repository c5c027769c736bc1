"""A file system that never answers: `hung-mount.py DIR` mounts FUSE on DIR, prints "mounted", and serves no request."""

import ctypes
import os
import sys
import time

fuse = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={fuse},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
if libc.mount(b"hung", os.fsencode(sys.argv[1]), b"fuse", 0, options) != 0:
    raise OSError(ctypes.get_errno(), "mount")
print("mounted", flush=True)
time.sleep(3600)
