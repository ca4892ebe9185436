"""Install Chromium for the browser tests, unless it is there.

Debian's package where apt-get can install it, Playwright's own download elsewhere.
"""

import os
import shutil
import subprocess
import sys


def main() -> int:
    """Install the browser; return 0 when there is one afterwards."""
    if shutil.which("chromium"):
        return 0
    if shutil.which("apt-get") and hasattr(os, "geteuid"):
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        update = [*sudo, "apt-get", "update", "-qq"]
        install = [*sudo, "apt-get", "install", "-y", "-qq", "chromium"]
        if (
            subprocess.run(update, env=quiet).returncode == 0
            and subprocess.run(install, env=quiet).returncode == 0
            and shutil.which("chromium")
        ):
            return 0
    return subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"]
    ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
