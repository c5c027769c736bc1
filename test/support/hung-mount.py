"""A file system that never answers: `hung-mount.py DIR` mounts FUSE on DIR, prints "mounted", and serves no request.

It ends, and what waits is answered with errors, when its standard input ends or by SIGTERM.
"""

import ctypes
import os
import signal
import sys

fuse = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={fuse},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
path = os.fsencode(sys.argv[1])
if libc.mount(b"hung", path, b"fuse", 0, options) != 0:
    raise OSError(ctypes.get_errno(), "mount")
MNT_DETACH = 2
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    print("mounted", flush=True)
    sys.stdin.read()
finally:
    libc.umount2(path, MNT_DETACH)
