"""The images that int8 is calibrated on: those of a folder, whatever else lies there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.artifacts.calibration import calibration_digest, calibration_inputs
from resnets.core.errors import DataError
from resnets.modalities.image.preprocessing import Preprocessing


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_pipes_and_links_in_a_folder_are_left_out_and_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.png", "below/b.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    settings = Preprocessing(resize=8, crop=8)
    before = calibration_digest(str(tmp_path), settings)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "below" / "up").symlink_to("..")
    assert len(list(calibration_inputs(str(tmp_path), settings))) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"Note: {tmp_path}: links that lead nowhere were left out (1): gone.jpg.",
        f"Note: {tmp_path}: pipes, sockets and devices were left out (1): pipe.jpg.",
        f"Note: {tmp_path}: links to folders that were read already were not followed (1): below/up.",
    ]
    assert calibration_digest(str(tmp_path), settings) == before
    assert calibration_digest("digits", settings) != before


def test_data_of_another_modality_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "sounds.csv").write_text("path,label\na.wav,x\n")
    with pytest.raises(DataError, match=r"sounds.csv holds recordings, and int8 is calibrated on images"):
        next(calibration_inputs(str(tmp_path / "sounds.csv"), Preprocessing(resize=8, crop=8)))
