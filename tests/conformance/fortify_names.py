"""usage: fortify_names.py PROGRAM: the program imports every checked name, so the rows really go through them."""

import subprocess
import sys

NAMES = {"__read_chk", "__recv_chk", "__recvfrom_chk", "__pread_chk", "__pread64_chk", "__poll_chk", "__ppoll_chk",
         "__fprintf_chk", "__vfprintf_chk", "__printf_chk", "__dprintf_chk", "__vdprintf_chk"}

listing = subprocess.run(["nm", "-D", "--undefined-only", sys.argv[1]], capture_output=True, text=True, check=True).stdout
imported = {line.split()[-1].partition("@")[0] for line in listing.splitlines() if line.strip()}
# Built with 64-bit offsets a program asks for pread64; the plain name is what it is without them.
missing = NAMES - imported
if missing:
    sys.exit(f"{sys.argv[1]} does not import {', '.join(sorted(missing))}")
print(f"{sys.argv[1]} imports {len(NAMES)} checked names")
