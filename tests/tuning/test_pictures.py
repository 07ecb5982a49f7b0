from xml.etree import ElementTree

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tuning.pictures import MARGIN, WIDTH, draw

SVG = "{http://www.w3.org/2000/svg}"


def classes(picture: str) -> list[str | None]:
    return [shape.get("class") for shape in ElementTree.fromstring(picture)]


def test_faults_are_shaded_and_alarms_told_apart() -> None:
    value, score = np.sin(np.arange(3000) / 50), np.zeros(3000)
    picture = draw("a <b>", value, score, [100, 1499, 2200], [(1500, 1600)], tolerance=5)
    assert classes(picture).count("fault") == 1
    assert classes(picture).count("hit") == 1
    assert classes(picture).count("false") == 2
    assert "a &lt;b&gt;" in picture


def test_only_the_rows_asked_for_are_drawn() -> None:
    picture = draw("a", np.arange(1000.0), np.zeros(1000), [10, 510], [(0, 20), (505, 515)], first=500, last=599)
    assert classes(picture).count("fault") == classes(picture).count("hit") == 1
    assert "500 to 599" in picture
    assert "rows 500 to 599" in picture


def test_a_spike_of_one_row_among_many_is_seen() -> None:
    value = np.zeros(50_000)
    value[31_234] = 9.0
    path = next(
        shape.get("d", "")
        for shape in ElementTree.fromstring(draw("a", value, value, [], []))
        if shape.get("class") == "value"
    )
    heights = [float(place.split()[1]) for place in path[1:].split("L")]
    assert min(heights) == MARGIN
    assert sum(height < max(heights) for height in heights) == 1


@example(np.array([0.0, 2.22507386e-311]))
@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e300, 1e300) | st.just(np.nan)))
def test_any_values_give_a_picture_within_its_frame(value: np.ndarray) -> None:
    picture = draw("a", value, np.zeros(len(value)), [], [])
    for shape in ElementTree.fromstring(picture).iter(f"{SVG}path"):
        places = [place.split() for place in shape.get("d", "")[1:].split("L")]
        assert all(0 <= float(x) <= WIDTH for x, _ in places)
        assert all(np.isfinite(float(y)) for _, y in places)


def test_a_step_is_drawn_where_its_shading_begins() -> None:
    value = np.zeros(2_396)
    value[958:] = 1.0
    shapes = list(ElementTree.fromstring(draw("a", value, value, [], [(958, 1_400)])))
    shade = next(float(shape.get("x", "")) for shape in shapes if shape.get("class") == "fault")
    path = next(shape.get("d", "") for shape in shapes if shape.get("class") == "value")
    places = [tuple(map(float, place.split())) for place in path[1:].split("L")]
    rise = next(x for x, y in places if y < places[0][1])
    assert abs(rise - shade) <= 1.5
