"""Holds requirements.lock against a database of known vulnerabilities, if one can be reached.

    python .ci/audit.py

Exit codes: 0 if none is known, or if no database answers, which it says; else pip-audit's.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent.parent / "requirements.lock"
TIMEOUT_SECONDS = 15
# Of this a database must know some: a mirror of PyPI's packages may answer, and know of none.
VULNERABLE, VERSION = "jinja2", "2.10"


def main() -> int:
    """Asks the first database that answers."""
    for service, vulnerabilities in SERVICES.items():
        if _answers(vulnerabilities):
            print(f"audit: {LOCK.name} against {service}", file=sys.stderr)
            return audit(service)
    print(f"audit: left out, for no database can be reached ({', '.join(SERVICES)})")
    return 0


def audit(service: str) -> int:
    """Exit code of pip-audit: 1 for a vulnerability, and for whatever keeps it from looking."""
    command = ["-m", "pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip"]
    command += ["--strict", "--progress-spinner", "off", "--vulnerability-service", service]
    return subprocess.run([sys.executable, *command]).returncode


def _answers(vulnerabilities: Callable[[], Any]) -> bool:
    """Whether a database is there, which pip-audit's exit code would not tell from a finding."""
    import requests

    try:
        return bool(vulnerabilities())
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return False  # no network, a proxy's page, a mirror without it


def _pypi() -> Any:
    import requests

    url = f"https://pypi.org/pypi/{VULNERABLE}/{VERSION}/json"
    return requests.get(url, timeout=TIMEOUT_SECONDS).json()["vulnerabilities"]


def _osv() -> Any:
    import requests

    query = {"package": {"name": VULNERABLE, "ecosystem": "PyPI"}, "version": VERSION}
    answer = requests.post("https://api.osv.dev/v1/query", json=query, timeout=TIMEOUT_SECONDS)
    return answer.json()["vulns"]


# By the names that pip-audit has for them.
SERVICES: Mapping[str, Callable[[], Any]] = {"pypi": _pypi, "osv": _osv}

if __name__ == "__main__":
    sys.exit(main())
