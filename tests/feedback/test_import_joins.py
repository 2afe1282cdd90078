"""Logs that need what stands beside them: Open Bandit's items, iPinYou's clicks."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from log_lines import IPINYOU, OBD, ipinyou_line, obd_line

from adserver.errors import ConfigError
from feedback.importing.run import import_log

ITEMS = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n"


def rows_of(out):
    return pq.read_table(out / "part-00000.parquet").to_pylist()


def test_open_bandit_rows_know_their_item_and_the_affinity_to_it(tmp_path):
    (tmp_path / "all.csv").write_text(
        f"{OBD}\n{obd_line(1, 2)}\n{obd_line(0, 1)}\n{obd_line(0, 9)}"
    )
    (tmp_path / "item_context.csv").write_text(f"{ITEMS}0,1,-0.5,a,b,c\n1,2,,d,e,f\n")

    manifest = import_log([tmp_path], tmp_path.parent / "out")

    first, second, third = rows_of(tmp_path.parent / "out")
    assert (first["affinity"], second["affinity"], third["affinity"]) == (2.5, 1.5, None)
    assert (first["item_feature_0"], second["item_feature_0"]) == (None, -0.5)
    assert (first["item_feature_3"], third["item_feature_3"]) == ("f", None)
    assert manifest["beside"][0]["items"] == 2
    assert manifest["rows_in"] == 3


def test_open_bandit_is_read_without_its_items_too(tmp_path):
    (tmp_path / "all.csv").write_text(f"{OBD}\n{obd_line(1, 2)}\n")

    import_log([tmp_path / "all.csv"], tmp_path / "out")

    assert rows_of(tmp_path / "out")[0]["item_feature_1"] is None


def test_a_broken_list_of_items_is_refused_by_name(tmp_path):
    (tmp_path / "all.csv").write_text(f"{OBD}\n{obd_line()}\n")
    (tmp_path / "item_context.csv").write_text("nothing\nof\nthe kind\n")

    with pytest.raises(ConfigError, match=r"item_context\.csv: is no item_context"):
        import_log([tmp_path], tmp_path / "out")


def test_ipinyous_impressions_are_joined_with_their_clicks(tmp_path):
    lines = [ipinyou_line(f"b{n}") for n in range(6)]
    (tmp_path / "imp.20130606.txt").write_text("\n".join([*lines, "torn\tline"]))
    (tmp_path / "clk.20130606.txt").write_text(
        "\n".join(ipinyou_line(f"b{n}", 2) for n in (1, 4, 9))
    )

    manifest = import_log([tmp_path], tmp_path / "out")

    rows = rows_of(tmp_path / "out")
    assert [row["label"] for row in rows] == [0, 1, 0, 0, 1, 0]
    assert rows[0]["payprice"] == 77
    assert rows[0]["time_ms"] == 1_370_476_864_008  # 2013-06-06 00:01:04, taken for UTC
    assert (manifest["rows_in"], manifest["quarantined"]) == (7, 1)
    assert manifest["beside"] == [
        {"file": str(tmp_path / "clk.20130606.txt"), "lines": 3, "clicks": 3}
    ]


def test_impressions_without_the_log_of_clicks_are_refused(tmp_path):
    (tmp_path / "imp.txt").write_text(ipinyou_line())

    with pytest.raises(ConfigError, match=r"imp\.txt: iPinYou's own logs need their clicks"):
        import_log([tmp_path / "imp.txt"], tmp_path / "out")


@pytest.mark.parametrize("heading", [True, False])
def test_joined_ipinyou_lines_have_their_click(tmp_path, heading):
    head = "click\tweekday\thour\t" + IPINYOU.replace(" ", "\t") + "\n"
    lines = "\n".join(f"{n % 2}\t4\t0\t{ipinyou_line()}" for n in range(4))
    (tmp_path / "train.log.txt").write_text((head if heading else "") + lines)

    manifest = import_log([tmp_path / "train.log.txt"], tmp_path / "out")

    assert [row["label"] for row in rows_of(tmp_path / "out")] == [0, 1, 0, 1]
    assert rows_of(tmp_path / "out")[0]["usertag"] == "10006,10063"
    assert manifest["format"] == "ipinyou"


@pytest.mark.parametrize(("price", "line"), [(None, "1 4:1 13:1"), (51.0, "1 51 4:1  13:1")])
def test_features_by_number_keep_their_places(tmp_path, price, line):
    more = " ".join(f"{n}:1" for n in range(100, 130))
    (tmp_path / "train.yzx.txt").write_text(f"{line}\n{line} {more}\n1\n")

    manifest = import_log([tmp_path / "train.yzx.txt"], tmp_path / "out")

    short, long = rows_of(tmp_path / "out")
    assert short.get("price") == price
    assert (short["place_1"], short["place_2"], short["place_3"]) == ("4:1", "13:1", None)
    assert long["further"] == " ".join(f"{n}:1" for n in range(122, 130))
    assert manifest["quarantined"] == 1
