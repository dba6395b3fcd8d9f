"""What `make bench` says of its figures: ratios, shares of the machine, its tables and its picture."""

import pytest

from tests.bench import markdown, picture
from tests.bench.report import CEILING, Measure, Report, tables
from tests.bench.titles import MEASURES


@pytest.fixture
def report():
    ms = {"ours, int8": 1.0, "ours, fp32": 4.0, "transformers, ids": 8.0}
    return Report(
        {"machine": "one", "threads": 2, "date": "today", "load": [0.5, 2.0], "versions": {"torch": "2"}},
        [
            Measure("machine, products", {"TensorFlow": 50.0, "PyTorch": 100.0}, "GFLOP/s"),
            Measure("machine, memory", {"read": 10.0}, "GB/s"),
            Measure("sst2", {"ours, random batches": 90.0, "KerasHub": 45.0}, "sentences/s", flops=1e9),
            Measure("windows, memory", {"ours": 2.0, "transformers": 3.0}, "GB"),
            Measure("texts, 1 x 16", ms, "ms", flops=1e8, weights=2e7, targets=[("ours, fp32", CEILING, 0.9)]),
        ],
    )


def test_ratios_are_ours_beside_a_peer(report):
    rate, memory, time = report.measures[2:]
    assert rate.ratio("ours, random batches", "KerasHub") == 2
    assert memory.ratio("ours", "transformers") == 1.5
    assert time.ratio("ours, fp32", "transformers, ids") == 2


def test_the_machine_bounds_by_its_slower_part(report):
    rate, memory, time = report.measures[2:]
    assert report.bound(rate) == 100 and report.share(rate, "KerasHub") == 0.45
    assert report.bound(memory) == 0
    assert report.bound(time) == 2  # ms: 1 for the products, 2 for the weights
    assert report.share(time, "ours, fp32") == 0.5
    assert report.share(time, "ours, int8") == 0  # the bound is that of float32


def test_a_report_survives_its_file(report):
    assert Report.of(report.content()) == report


def test_tables_name_a_target_that_is_missed(report):
    text = tables(report, {key: titles[0] for key, titles in MEASURES.items()})
    assert f"ours, fp32: 0.50 of {CEILING}, at least 0.90 wanted: MISSED" in text
    assert "2.00x" in text


def test_pages_keep_what_stands_around_the_tables(report, tmp_path):
    pages = [tmp_path / name for name in ("results.md", "results.zh.md")]
    for page in pages:
        page.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n")
    markdown.write(report, tmp_path, "speed.png")
    english, chinese = (page.read_text() for page in pages)
    assert english.startswith("before\n") and english.endswith("\nafter\n") and "old" not in english
    assert "| ours, fp32 | 4.00 | 2.00x | 50% |" in english
    assert "| 我们，fp32 | 4.00 | 2.00x | 50% |" in chinese
    assert "busy" not in english
    report.about["load"] = [0.5, 4.0]
    markdown.write(report, tmp_path, "speed.png")
    assert "busy" in pages[0].read_text()
    pages[0].write_text("no marks")
    with pytest.raises(ValueError, match="expected"):
        markdown.write(report, tmp_path, "speed.png")


def test_a_picture(report):
    report.measures[-1].figures["transformers, ids"] = 1e4  # is cut
    assert picture.png(report).startswith(b"\x89PNG")
