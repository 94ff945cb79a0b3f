"""A script that starts processes without a main guard is refused before it starts one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BODY = """
import resnets
from resnets.core.main_guard import check_main_guard

def experiment():
    check_main_guard("reproduce")
    print("reached")
"""


def run(tmp_path: Path, ending: str, *options: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(BODY + ending)
    argv = [sys.executable, *(options or [str(script)])]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)


@pytest.mark.parametrize(
    "ending",
    [
        'if __name__ == "__main__":\n    experiment()\n',
        "def main():\n    experiment()\n\nif __name__ == '__main__' and True:\n    main()\n",
        'if __name__ != "__main__":\n    raise SystemExit\nexperiment()\n',
        'try:\n    if __name__ == "__main__":\n        experiment()\nfinally:\n    pass\n',
        'is_script = __name__ == "__main__"\nif is_script:\n    experiment()\n',
        'match __name__:\n    case "__main__":\n        experiment()\n',
        '__name__ == "__main__" and experiment()\n',
        "from threading import Thread\nt = Thread(target=experiment)\nt.start()\nt.join()\n",  # it cannot be seen there
    ],
)
def test_guarded_scripts_pass(tmp_path: Path, ending: str) -> None:
    found = run(tmp_path, ending)
    assert (found.stdout, found.stderr) == ("reached\n", "")


@pytest.mark.parametrize(
    "ending",
    ["name = __name__\nexperiment()\n", "if __name__:\n    pass\ndef main():\n    experiment()\n\nmain()\n"],
)
@pytest.mark.parametrize("options", [(), ("-m", "script")])
def test_others_are_refused_with_the_guard_to_write(tmp_path: Path, ending: str, options: tuple[str, ...]) -> None:
    found = run(tmp_path, ending, *options)
    assert found.returncode == 1
    assert "script.py, line " in found.stderr
    assert "reproduce starts processes. Each process that it starts imports your script again" in found.stderr
    assert 'if __name__ == "__main__":' in found.stderr


def test_text_that_is_no_script_passes(tmp_path: Path) -> None:
    assert run(tmp_path, "", "-c", BODY + "experiment()").stdout == "reached\n"


def test_reproduce_is_refused_at_once(tmp_path: Path) -> None:
    models = "cifar_plain20,cifar_resnet20"
    found = run(tmp_path, f"resnets.reproduce('figure6', data='digits', seeds=1, models='{models}', jobs=2, out='a')\n")
    assert "or give jobs=1, which starts no process" in found.stderr
    assert not list(tmp_path.glob("a/runs/*"))
