"""`python -m shared.http.probe PORT`: exit 0 when the service there is ready.

For health checks of containers, which have no curl.
"""

import sys
import urllib.error
import urllib.request

from shared.printable import printable

PATIENCE_S = 4


def main() -> int:
    """Asks /readyz."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{int(sys.argv[1])}/readyz", timeout=PATIENCE_S):
            return 0
    except (urllib.error.URLError, OSError) as error:
        print(printable(str(error)), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
