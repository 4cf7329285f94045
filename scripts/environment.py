"""Make or refresh the virtual environment of this tree: `environment.py server|dev [VENV]`.

Packages come from requirements/*.txt with their hashes; Varsel itself is installed in place. A second run sees that nothing changed and ends at once. Standard library only: it runs before anything is installed.
"""

# ruff: noqa: T201 - it speaks to a person at a terminal

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: What an environment of one kind also serves as.
SERVES = {"server": ("server", "dev"), "dev": ("dev",)}
#: No compiler is needed: everything comes as a wheel but this one, which is plain Python and publishes none.
WHEELS = ("--only-binary", ":all:", "--no-binary", "dkimpy")


def key(kind: str) -> str:
    """Changes when the environment must be made anew: other packages, another place of the tree."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in (f"requirements/{kind}.txt", "pyproject.toml", "src/varsel/__init__.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_current(venv: Path, kind: str) -> bool:
    """Whether the environment already holds what `kind` needs, and its interpreter still runs."""
    for other in SERVES[kind]:
        stamp = venv / f"varsel-{other}.stamp"
        if stamp.is_file() and stamp.read_text("ascii", "replace") == key(other):
            probe = [str(venv / "bin/python"), "-c", "import varsel"]
            return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    return False


def make(venv: Path) -> None:
    """A new environment; what stands there goes only when it is one."""
    if venv.exists():
        if not (venv / "pyvenv.cfg").is_file() and any(venv.iterdir()):
            sys.exit(
                f"{venv} exists and is no virtual environment; move it away, or choose another: make VENV=DIR"
            )
        shutil.rmtree(venv)
    print(f"Making {venv.name} with Python {sys.version.split()[0]}", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    except subprocess.CalledProcessError:
        sys.exit(f"{sys.executable} could not make {venv}; see above.")


def usable(venv: Path) -> bool:
    """Whether the environment has the interpreter we run on, and its pip."""
    probe = [str(venv / "bin/python"), "-c", "import pip, sys; print(*sys.version_info[:2])"]
    try:
        found = subprocess.run(probe, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return found.returncode == 0 and found.stdout.split() == [str(part) for part in sys.version_info[:2]]


def install(venv: Path, total: int, words: list[str]) -> None:
    """Run pip; one line that counts packages on a terminal, one in ten elsewhere; its whole output when it fails."""
    command = [str(venv / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
               "--progress-bar", "off", *words]  # fmt: skip
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said: list[str] = []
    seen = 0
    terminal = sys.stdout.isatty()
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if total and line.startswith(("Collecting ", "Processing ", "Requirement already satisfied:")):
            seen += 1
            if terminal:
                print(f"\r\033[K  {seen}/{total} packages", end="", flush=True)
            elif seen % 10 == 0:
                print(f"  {seen}/{total} packages", flush=True)
        elif line.startswith("Installing collected packages") and total:
            print(
                "\r\033[K  unpacking" if terminal else "  unpacking", end="" if terminal else "\n", flush=True
            )
    if terminal and total:
        print("\r\033[K", end="", flush=True)
    if process.wait() != 0:
        sys.stderr.write("".join(said[-30:]))
        sys.exit(
            "The packages could not be installed; the lines above say why. Nothing outside the environment was changed."
        )


def hand_over(venv: Path) -> None:
    """As root in somebody else's tree, the environment belongs to the tree's owner, who may want to refresh or delete it."""
    owner = ROOT.stat()
    if os.geteuid() == 0 and owner.st_uid != 0 and venv.is_relative_to(ROOT):
        for folder, _, files in os.walk(venv):
            for path in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def main(arguments: list[str]) -> None:
    kind = arguments[0]
    venv = (ROOT / (arguments[1] if len(arguments) > 1 else ".venv")).absolute()
    if is_current(venv, kind):
        return
    place = venv if venv.exists() else venv.parent
    if not os.access(place, os.W_OK):
        sys.exit(
            f"{place} cannot be written by this account; clone Varsel as this account, or choose a place: make VENV=DIR"
        )
    begun = time.monotonic()
    if not usable(venv):
        make(venv)
    requirements = ROOT / f"requirements/{kind}.txt"
    total = sum(1 for line in requirements.read_text("utf-8").splitlines() if "==" in line.split("#")[0])
    print(f"Installing {total} packages, each checked against its hash (once)", flush=True)
    install(venv, total, [*WHEELS, "--require-hashes", "-r", str(requirements)])
    install(venv, 0, ["--no-deps", "--no-build-isolation", "--editable", "."])
    for stale in venv.glob("varsel-*.stamp"):
        stale.unlink()
    (venv / f"varsel-{kind}.stamp").write_text(key(kind), "ascii")
    hand_over(venv)
    print(f"Ready after {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
