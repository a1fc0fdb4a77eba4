import numpy as np
import pytest
from PIL import Image

from stylegan_core.errors import ImageError, OutputError
from stylegan_core.films import open_film, write_mp4

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # imageio-ffmpeg's open pipes
RAMP = np.linspace(0, 255, 65, dtype=np.uint8)
FRAMES = [np.tile(np.roll(RAMP, 4 * t)[None, :, None], (48, 1, 3)) for t in range(5)]  # of an odd width


def a_film(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    write_mp4(tmp_path / "x.mp4", iter(FRAMES), 10.0, "made up")
    return tmp_path / "x.mp4"


def test_a_film_is_written_and_read_back_as_often_as_one_likes(tmp_path):
    film = open_film(a_film(tmp_path))
    assert (film.num_frames, film.fps, film.has_sound) == (5, 10.0, False)
    for _ in range(2):
        for one, other in zip(FRAMES, film.frames(), strict=True):
            assert np.abs(one[:, :64].astype(int) - other).mean() < 12
    assert len(list(open_film(tmp_path / "x.mp4", limit=2).frames())) == 2
    assert open_film(tmp_path / "x.mp4", fps=5.0).fps == 5.0
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


def test_what_is_no_film_is_refused(tmp_path):
    with pytest.raises(ImageError, match="no such film"):
        open_film(tmp_path / "missing.mp4")
    whole = a_film(tmp_path).read_bytes()
    for data in (b"", b"not a film", whole[: len(whole) // 2]):
        (tmp_path / "bad.mp4").write_bytes(data)
        with pytest.raises(ImageError, match="not a readable film"):
            list(open_film(tmp_path / "bad.mp4").frames())


def test_a_folder_is_a_film_if_it_holds_pictures_of_one_size(tmp_path):
    with pytest.raises(ImageError, match="no frames"):
        list(open_film(tmp_path).frames())
    for index, level in enumerate((0, 100)):
        Image.new("RGB", (16, 16), (level,) * 3).save(tmp_path / f"{index}.png")
    film = open_film(tmp_path)
    assert [int(frame[0, 0, 0]) for frame in film.frames()] == [0, 100]
    assert (film.num_frames, film.fps) == (2, 25.0)
    Image.new("RGB", (32, 16)).save(tmp_path / "2.png")
    with pytest.raises(ImageError, match="different sizes"):
        list(open_film(tmp_path).frames())


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_mp4(tmp_path / "file" / "x.mp4", FRAMES, 10.0, "made up")
