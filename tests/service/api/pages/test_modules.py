"""Modules of the pages without a screen: run lengths, windows, geometry, colours and texts."""

from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from radiograph.geometry.orientation import Orientation
from service.decoding.decode import DisplayedPixels
from service.encoders import coco_rle, form_encoder
from tests.builders.service.pages.viewer import script


@pytest.fixture
def run(page: Page, service: str) -> Any:
    """Run code with a module of the pages as `m`."""
    page.goto(f"{service}/models")

    def call(module: str, body: str, argument: Any = None) -> Any:
        return script(page, f"const m = await import('./assets/{module}'); {body}", argument)

    return call


def mask(seed: int, rows: int, columns: int) -> Any:
    return np.random.default_rng(seed).random((rows, columns)) < 0.5


@pytest.mark.parametrize(
    "pixels",
    [
        mask(0, 7, 5),
        mask(1, 1, 9),
        mask(2, 9, 1),
        np.ones((4, 3), bool),
        np.zeros((4, 3), bool),
        np.pad(np.ones((3, 2), bool), ((2, 0), (1, 3))),  # a run that ends with its column
    ],
    ids=["random", "one row", "one column", "full", "empty", "at the bottom"],
)
def test_run_lengths_are_read_pixel_by_pixel(run: Any, pixels: Any) -> None:
    rows, columns = pixels.shape
    rle = {"size": [rows, columns], "counts": coco_rle.encode(pixels)}
    body = """
        const mask = m.decode(given);
        const [rows, columns] = given.size;
        const line = (y, at) => [...Array(columns)].map((_, x) => at(x, y));
        const grid = (at) => [...Array(rows)].map((_, y) => line(y, at));
        const has = grid((x, y) => mask.has(x, y));
        if (mask.empty) return { has, drawn: null };
        const image = mask.transposed(0xff0000ff);
        const { left, top } = mask.bounds;
        const drawn = grid((x, y) => {
          const [u, v] = [y - top, x - left];
          if (u < 0 || v < 0 || u >= image.width || v >= image.height) return false;
          return image.data[4 * (v * image.width + u) + 3] === 255;
        });
        return { has, drawn };
    """
    found = run("rle.js", body, rle)
    assert found["has"] == pixels.tolist()
    assert found["drawn"] == (pixels.tolist() if pixels.any() else None)


def test_run_lengths_that_do_not_fill_the_image_are_refused(run: Any) -> None:
    body = "try { m.decode(given); return ''; } catch (error) { return error.message; }"
    message = run("rle.js", body, {"size": [4, 3], "counts": [5, 6]})
    assert message == "a mask has 11 pixels instead of 12"


def test_a_window_maps_black_and_white(run: Any) -> None:
    body = """
        const gray = (window, inverted, values) =>
          values.map((v) => m.table(window, inverted)[v] & 255);
        return [
          gray(m.FULL, false, [0, 32768, 65535]),
          gray(m.betweenLevels(1000, 2000), false, [999, 1000, 1500, 2000, 2001]),
          gray(m.betweenLevels(1000, 2000), true, [0, 1500, 65535]),
          gray({ centre: 500, width: 0 }, false, [499, 501]),
          m.betweenLevels(7, 7),
        ];
    """
    full, inner, inverted, threshold, flat = run("windowing.js", body)
    assert full == [0, 128, 255]
    assert inner == [0, 0, 128, 255, 255]
    assert inverted == [255, 127, 0]
    assert threshold == [0, 255]
    assert flat == {"centre": 32767.5, "width": 65535}


def test_levels_halve_by_averaging_and_a_part_is_looked_up(run: Any) -> None:
    body = """
        const pixels = Uint16Array.from({ length: 700 * 4 }, (_, i) => i % 1000);
        const all = m.levels(pixels, 4, 700);
        const target = new Uint32Array(4);
        const colours = m.table(m.FULL, false).map((_, value) => value);
        m.paint(all[1], { left: 10, top: 1, width: 2, height: 1 }, colours, target);
        const chosen = [1, 0.5, 0.1].map((scale) => m.levelFor(all, 700, scale).columns);
        const sizes = all.map(({ rows, columns }) => [rows, columns]);
        return { sizes, target: [...target], chosen };
    """
    found = run("windowing.js", body)
    assert found["sizes"] == [[4, 700], [2, 350]]
    block = [1420, 1421, 2120, 2121]  # rows 2 and 3, columns 20 and 21 of 700
    assert found["target"][0] == round(sum(value % 1000 for value in block) / 4 + 0.01)
    assert found["target"][2:] == [0, 0]
    assert found["chosen"] == [700, 350, 350]


def test_a_percentile_window_leaves_out_the_ends(run: Any) -> None:
    body = """
        const pixels = Uint16Array.from({ length: 1001 }, (_, i) => 10 * i);
        return m.percentileWindow({ pixels }, 0.01, 0.99);
    """
    assert run("windowing.js", body) == {"centre": 5000, "width": 9800}


def test_the_sides_are_those_of_the_turned_image(run: Any) -> None:
    names = {}
    edges: dict[tuple[float, float], str] = {
        (0, 20): "left",
        (20, 20): "right",
        (10, 0): "top",
        (10, 40): "bottom",
    }
    for bits in range(8):
        turned = Orientation(bool(bits & 4), bool(bits & 2), bool(bits & 1))
        rows, columns = 40, 20
        height, width = turned.upright_shape(rows, columns)
        x, y = turned.point_back(width, height / 2, rows, columns)  # the patient's left, upright
        names[turned.name] = edges[x, y]
    body = "return Object.fromEntries(given.map((name) => [name, m.sides(name).L]));"
    assert run("turning.js", body, list(names)) == names


@pytest.mark.parametrize(
    ("laterality", "code", "known"),
    [
        ("asserted", "pixels_look_turned", True),
        ("assumed", "out_of_domain", True),
        ("assumed", "pixels_look_lateral", False),
        ("assumed", "pixels_look_turned", False),
        ("unknown", "out_of_domain", False),
    ],
)
def test_sides_are_marked_unless_the_pixels_contradict_what_is_assumed(
    run: Any, laterality: str, code: str, known: bool
) -> None:
    answer = {"image": {"laterality": laterality}, "warnings": [{"code": code}]}
    assert run("findings.js", "return m.sidesAreKnown(given);", answer) is known


def test_stored_points_are_shown_where_turning_moves_them(run: Any) -> None:
    rows, columns = 40, 20
    points = [(0, 0), (3, 7), (20, 40), (5.5, 39.5)]
    turns = [Orientation(bool(n & 4), bool(n & 2), bool(n & 1)) for n in range(8)]
    expected = [[list(turn.point(*p, rows, columns)) for p in points] for turn in turns]
    shapes = [list(turn.upright_shape(rows, columns)) for turn in turns]
    body = """
        const turns = given.names.map((name) => new m.Turn(name, { rows: 40, columns: 20 }));
        const shown = (turn) => given.points.map((point) => turn.toShown(...point));
        return { shown: turns.map(shown), shapes: turns.map(({ rows, columns }) => [rows, columns]),
          back: turns.map((turn) => shown(turn).map((point) => turn.toStored(...point))) };
    """
    found = run("turning.js", body, {"names": [turn.name for turn in turns], "points": points})
    assert found["shown"] == expected
    assert found["shapes"] == shapes
    assert found["back"] == [[list(point) for point in points]] * 8


@pytest.mark.parametrize("turned", ["none", "rotated_90"])
def test_views_keep_a_point_while_zooming_and_undo_themselves(run: Any, turned: str) -> None:
    stored = [100, 50] if turned == "none" else [50, 100]  # 100 x 50 as it is shown
    body = """
        const { Turn } = await import('./assets/turning.js');
        const [rows, columns] = given.stored;
        const fit = m.View.fit(new Turn(given.turned, { rows, columns }), 400, 400);
        const near = fit.zoomed(3, 120, 80);
        const back = near.toScreen(...near.toSource(33, 44));
        const far = fit.moved(9999, 9999).kept(400, 400);
        const [a, b, c, d, e, f] = near.transform(2);
        return { fit: [fit.scale, fit.x, fit.y], at: near.toSource(120, 80),
          was: fit.toSource(120, 80), same: near.toScreen(7, 9),
          drawn: [(7 * a + 9 * c + e) / 2, (7 * b + 9 * d + f) / 2],
          back, far: [far.x, far.y], mm: m.distance([0, 0], [30, 40], [0.2, 0.1]),
          none: m.distance([0, 0], [1, 1], null) };
    """
    found = run("geometry.js", body, {"stored": stored, "turned": turned})
    assert found["fit"] == [4, 100, 0]
    assert found["at"] == pytest.approx(found["was"])
    assert found["back"] == pytest.approx([33, 44])
    assert found["drawn"] == pytest.approx(found["same"])
    assert found["far"] == [360, 360]
    assert found["mm"] == pytest.approx(np.hypot(30 * 0.1, 40 * 0.2))
    assert found["none"] is None


def test_colours_are_fixed_and_can_be_read_on_every_background(run: Any) -> None:
    body = """
        const worst = Math.min(...m.PALETTE.flatMap((colour) =>
          m.BACKGROUNDS.map((background) => m.contrast(colour, background))));
        const names = ["Left lung", "left lung", "Right lung", "Heart", "banana"];
        return { worst, black: m.contrast("#000000", "#ffffff"), colours: names.map(m.colourOf) };
    """
    found = run("colours.js", body)
    assert found["worst"] >= 4.5
    assert found["black"] == pytest.approx(21)
    left, same, right, heart, _ = found["colours"]
    assert left == same
    assert len({left, right, heart}) == 3


def test_numbers_are_written_as_people_read_them(run: Any) -> None:
    body = """
        return [m.percent(0), m.percent(0.004), m.percent(0.436), m.percent(0.999), m.percent(1),
          m.spacing([0.12011999999, 0.12011999999]), m.spacing([0.2, 0.1]), m.spacing(null),
          m.millimetres(1.2011999999), m.millimetres(123.456), m.seconds(59.6), m.seconds(200)];
    """
    assert run("dom.js", body) == [
        "0 %", "< 1 %", "44 %", "> 99 %", "100 %", "0.12 mm", "0.2 × 0.1 mm", "unknown",
        "1.2 mm", "123 mm", "60 s", "3 min",
    ]  # fmt: skip


def test_masks_are_compared_by_their_overlap(run: Any) -> None:
    one, other = mask(3, 8, 6), mask(4, 8, 6)
    expected = 2 * (one & other).sum() / (one.sum() + other.sum())
    empty = np.zeros_like(one)
    given = [{"size": [8, 6], "counts": coco_rle.encode(item)} for item in (one, other, empty)]
    body = """
        const { decode } = await import("./assets/rle.js");
        const [a, b, none] = given.map(decode);
        return [m.dice(a, b), m.dice(a, a), m.dice(none, none), m.dice(a, none)];
    """
    assert run("comparison.js", body, given) == [pytest.approx(expected), 1, None, 0]


def test_the_parts_of_an_answer_are_read_byte_by_byte(run: Any) -> None:
    pixels = np.array([[0x2D2D, 0x0D0A], [1, 65535]], dtype=np.uint16)  # dashes and line ends
    form = form_encoder.encode(b'{"a": "--edge"}', DisplayedPixels(pixels, 0, 9), "edge-1")
    body = """
        const bytes = new Uint8Array(given);
        const parts = m.partsOf(bytes.buffer, 'multipart/form-data; boundary=edge-1');
        return [...parts].map(([name, part]) => [name, [...part]]);
    """
    found = {name: bytes(part) for name, part in run("multipart.js", body, list(form))}
    assert list(found) == ["answer", "display", "pixels"]
    assert found["answer"] == b'{"a": "--edge"}'
    assert found["pixels"] == pixels.astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("positive", "probability", "words"),
    [
        (True, 0.5, "present at the threshold of 30 %"),
        (False, 0.2, "absent at the threshold of 30 %"),
        (False, 0.5, "absent, as Pneumonia is; above the threshold of 30 %"),
    ],
)
def test_the_verdict_on_a_subtype_says_why(
    run: Any, positive: bool, probability: float, words: str
) -> None:
    finding = {"positive": positive, "probability": probability, "threshold": 0.3}
    given = finding | {"subtype_of": "Pneumonia"}
    assert run("findings.js", "return m.verdictOf(given);", given) == words
